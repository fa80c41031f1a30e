<?php
require dirname(__DIR__) . '/apps/init.php';
mw_page('backend');
