DROP TABLE admin_tokens;
DROP TABLE service_accounts;
DROP TABLE ended_tokens;
DROP TABLE account_generations;
-- Earlier versions know nobody who may not log in: who was disabled must not come back by going back.
DELETE FROM users WHERE disabled_at IS NOT NULL;
ALTER TABLE users DROP COLUMN last_login_at;
ALTER TABLE users DROP COLUMN disabled_at;
DELETE FROM epochs WHERE name = 'people';
