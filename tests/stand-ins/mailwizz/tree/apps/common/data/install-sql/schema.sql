-- The columns of version 2 as its documentation names them.
CREATE TABLE `delivery_server` (
  `server_id` INT NOT NULL AUTO_INCREMENT,
  `customer_id` INT NULL,
  `bounce_server_id` INT NULL,
  `tracking_domain_id` INT NULL,
  `warmup_plan_id` INT NULL,
  `type` CHAR(20) NOT NULL,
  `name` VARCHAR(255) NULL,
  `hostname` VARCHAR(150) NOT NULL,
  `username` VARCHAR(150) NULL,
  `password` TEXT NULL,
  `port` INT NULL DEFAULT 25,
  `protocol` CHAR(10) NULL,
  `timeout` INT NULL DEFAULT 30,
  `from_email` VARCHAR(150) NOT NULL,
  `from_name` VARCHAR(150) NULL,
  `reply_to_email` VARCHAR(150) NULL,
  `probability` INT NOT NULL DEFAULT 100,
  `hourly_quota` INT NOT NULL DEFAULT 0,
  `daily_quota` INT NOT NULL DEFAULT 0,
  `monthly_quota` INT NOT NULL DEFAULT 0,
  `pause_after_send` INT NOT NULL DEFAULT 0,
  `meta_data` BLOB NULL,
  `confirmation_key` CHAR(40) NULL,
  `locked` VARCHAR(5) NOT NULL DEFAULT 'no',
  `use_for` CHAR(15) NOT NULL DEFAULT 'all',
  `signing_enabled` VARCHAR(5) NOT NULL DEFAULT 'yes',
  `force_from` VARCHAR(50) NOT NULL DEFAULT 'never',
  `force_reply_to` VARCHAR(50) NOT NULL DEFAULT 'never',
  `force_sender` VARCHAR(5) NOT NULL DEFAULT 'no',
  `must_confirm_delivery` VARCHAR(5) NOT NULL DEFAULT 'no',
  `max_connection_messages` INT NOT NULL DEFAULT 1,
  `status` CHAR(15) NOT NULL DEFAULT 'inactive',
  `date_added` DATETIME NOT NULL,
  `last_updated` DATETIME NOT NULL,
  PRIMARY KEY (`server_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `delivery_server_to_customer_group` (
  `server_id` INT NOT NULL,
  `group_id` INT NOT NULL,
  PRIMARY KEY (`server_id`, `group_id`),
  FOREIGN KEY (`server_id`) REFERENCES `delivery_server` (`server_id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `option` (
  `category` VARCHAR(150) NOT NULL,
  `key` VARCHAR(150) NOT NULL,
  `value` LONGBLOB NOT NULL,
  `is_serialized` TINYINT NOT NULL DEFAULT 0,
  `date_added` DATETIME NOT NULL,
  `last_updated` DATETIME NOT NULL,
  PRIMARY KEY (`category`, `key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `country` (
  `country_id` INT NOT NULL AUTO_INCREMENT,
  `name` VARCHAR(150) NOT NULL,
  `code` CHAR(2) NOT NULL,
  PRIMARY KEY (`country_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `campaign` (
  `campaign_id` INT NOT NULL AUTO_INCREMENT,
  `campaign_uid` CHAR(13) NOT NULL,
  `customer_id` INT NOT NULL,
  `list_id` INT DEFAULT NULL,
  `type` CHAR(15) NOT NULL DEFAULT 'regular',
  `name` VARCHAR(255) NOT NULL,
  `from_name` VARCHAR(255) NOT NULL DEFAULT '',
  `from_email` VARCHAR(100) NOT NULL DEFAULT '',
  `reply_to` VARCHAR(100) NOT NULL DEFAULT '',
  `subject` VARCHAR(1000) NOT NULL DEFAULT '',
  `send_at` DATETIME DEFAULT NULL,
  `started_at` DATETIME DEFAULT NULL,
  `finished_at` DATETIME DEFAULT NULL,
  `status` CHAR(15) NOT NULL DEFAULT 'draft',
  `date_added` DATETIME NOT NULL,
  `last_updated` DATETIME NOT NULL,
  PRIMARY KEY (`campaign_id`),
  UNIQUE KEY (`campaign_uid`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `campaign_to_delivery_server` (
  `campaign_id` INT NOT NULL,
  `server_id` INT NOT NULL,
  PRIMARY KEY (`campaign_id`, `server_id`),
  FOREIGN KEY (`campaign_id`) REFERENCES `campaign` (`campaign_id`) ON DELETE CASCADE,
  FOREIGN KEY (`server_id`) REFERENCES `delivery_server` (`server_id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
