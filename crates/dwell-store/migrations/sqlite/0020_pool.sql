-- Workspaces in everything but a name, which wait for one; the record is JSON.
create table pooled (
    id text primary key,
    record text not null
) strict;
