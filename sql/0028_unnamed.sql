-- 0028_unnamed: a list may take a name away
--
-- In a held list, too, a name that is not said (null: the present one stays) is something else than none ('').
alter table held_entry alter column name drop not null;
update held_entry set name = null where name = '';
