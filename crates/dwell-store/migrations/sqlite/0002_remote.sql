-- Other nodes that the user registered; the record is JSON.
create table remote (
    name text primary key,
    record text not null
) strict;

-- The loopback address of each service that runs on another node.
create table loopback (
    address text primary key,
    node text not null,
    environment text not null,
    service text not null,
    unique (node, environment, service)
) strict;

-- Environments that are to be destroyed on another node as soon as it is reached.
create table farewell (
    node text not null,
    environment text not null,
    primary key (node, environment)
) strict;
