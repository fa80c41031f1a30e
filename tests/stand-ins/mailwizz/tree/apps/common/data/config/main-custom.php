<?php
return [
    'components' => [
        'db' => [
            'connectionString' => '{DB_CONNECTION_STRING}',
            'username' => '{DB_USER}',
            'password' => '{DB_PASS}',
            'tablePrefix' => '{DB_PREFIX}',
        ],
    ],
    'params' => ['email.custom.header.prefix' => '{EMAILS_CUSTOM_HEADER_PREFIX}'],
];
