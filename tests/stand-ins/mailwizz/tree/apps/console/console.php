<?php
// What cron runs: notes who ran which command.
require dirname(__DIR__) . '/init.php';
$user = posix_getpwuid(posix_geteuid())['name'];
$line = $user . ' ' . ($argv[1] ?? 'help') . "\n";
file_put_contents(MW_ROOT . '/apps/common/runtime/console.log', $line, FILE_APPEND | LOCK_EX);
