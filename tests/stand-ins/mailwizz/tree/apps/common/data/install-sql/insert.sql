INSERT INTO `option` VALUES ('system.common', 'site_name', 'Marketing website', 0, NOW(), NOW());
