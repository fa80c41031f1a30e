INSERT INTO `country` VALUES (1, 'France', 'FR'), (2, 'Germany', 'DE');
