<?php
// What may be turned off, as the application numbers it. It says nothing to whoever reads it by itself.
if (!defined('MW_PATH')) {
    exit('No direct script access allowed');
}
foreach ([
    'MW_PERF_LVL_DISABLE_DS_LOG_USAGE' => 2,
    'MW_PERF_LVL_DISABLE_CUSTOMER_QUOTA_CHECK' => 4,
    'MW_PERF_LVL_DISABLE_DS_QUOTA_CHECK' => 8,
    'MW_PERF_LVL_DISABLE_SUBSCRIBER_BLACKLIST_CHECK' => 32,
] as $name => $bit) {
    defined($name) or define($name, $bit);
}
