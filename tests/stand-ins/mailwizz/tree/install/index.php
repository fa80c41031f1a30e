<?php
// The wizard: told a database, fills it in and writes down where it is.
require dirname(__DIR__) . '/apps/init.php';
if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    mw_page('install');
    return;
}
$data = MW_ROOT . '/apps/common/data';
$words = [
    '{DB_CONNECTION_STRING}' => 'mysql:host=localhost;dbname=' . $_POST['name'] . ';charset=utf8mb4',
    '{DB_USER}' => $_POST['user'],
    '{DB_PASS}' => $_POST['password'],
    '{DB_PREFIX}' => 'mw_',
    '{EMAILS_CUSTOM_HEADER_PREFIX}' => 'X-',
];
$pdo = new PDO($words['{DB_CONNECTION_STRING}'], $words['{DB_USER}'], $words['{DB_PASS}']);
$pdo->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
foreach (['schema', 'insert', 'country-zone'] as $name) {
    $sql = file_get_contents("$data/install-sql/$name.sql");
    // Names have no prefix there.
    $pdo->exec(preg_replace('/((?:TABLE|INTO|REFERENCES)\s+`)/', '$1mw_', $sql));
}
file_put_contents(MW_CONFIG, strtr(file_get_contents("$data/config/main-custom.php"), $words));
echo "installed\n";
