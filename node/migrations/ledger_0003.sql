-- Whom a code admitted: a program that lost the answer asks again with the same code and key.
ALTER TABLE invitation ADD COLUMN used_by BLOB;
