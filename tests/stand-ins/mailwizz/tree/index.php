<?php
require __DIR__ . '/apps/init.php';
mw_page('frontend');
