<?php
// Read by every way in. Refuses versions of PHP that the application does not run on.
define('MW_VERSION', '2.1.13');
define('MW_ROOT', dirname(__DIR__));
define('MW_PATH', MW_ROOT);
require MW_ROOT . '/apps/common/config/performance-levels.php';
if (is_file(MW_ROOT . '/apps/common/config/performance-levels-custom.php')) {
    require MW_ROOT . '/apps/common/config/performance-levels-custom.php';
}
define('MW_CONFIG', MW_ROOT . '/apps/common/config/main-custom.php');
if (version_compare(PHP_VERSION, '7.2', '<')) {
    exit('PHP 7.2 or later is needed, this is ' . PHP_VERSION);
}
foreach (['pdo_mysql', 'mbstring', 'curl', 'gd', 'zip', 'dom', 'ctype', 'fileinfo', 'imap', 'intl', 'bcmath'] as $name) {
    if (!extension_loaded($name)) {
        exit("extension $name is missing");
    }
}

/** The database that the wizard was told of; nothing before it ran. */
function mw_database(): ?PDO
{
    if (!is_file(MW_CONFIG)) {
        return null;
    }
    $db = (require MW_CONFIG)['components']['db'];
    $pdo = new PDO($db['connectionString'], $db['username'], $db['password']);
    $pdo->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
    return $pdo;
}

/** Answers what a page knows of itself. */
function mw_page(string $app): void
{
    $database = mw_database();
    if ($database === null && $app !== 'install') {
        header('Location: /install/index.php', true, 302);
        return;
    }
    header('Content-Type: application/json');
    echo json_encode([
        'app' => $app,
        'version' => MW_VERSION,
        'path' => $_SERVER['REQUEST_URI'],
        'method' => $_SERVER['REQUEST_METHOD'],
        'user' => posix_getpwuid(posix_geteuid())['name'],
        'servers' => $database ? (int) $database->query('SELECT COUNT(*) FROM mw_delivery_server')->fetchColumn() : null,
        'runs_programs' => function_exists('exec') || function_exists('proc_open'),
    ]), "\n";
}
