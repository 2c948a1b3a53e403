-- Workspaces; the record is JSON. A name is free again once its workspace is destroyed, while the
-- record stays as long as the home is kept.
create table workspace (
    id text primary key,
    name text not null,
    destroyed integer not null,
    record text not null
) strict;

create unique index workspace_name on workspace (name) where destroyed = 0;
