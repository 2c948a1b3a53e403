-- Forwards that the daemon holds; the record is JSON. No two listen at one place.
create table forward (
    listen text primary key,
    record text not null
) strict;
