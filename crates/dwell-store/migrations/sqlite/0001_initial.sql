create table environment (
    id text primary key,
    project text not null,
    name text not null,
    record text not null,
    unique (project, name)
) strict;

create table subnet (
    network text primary key,
    owner text not null,
    key text not null,
    unique (owner, key)
) strict;

create table operation (
    id text primary key,
    idempotency_key text not null unique,
    environment text not null,
    kind text not null,
    request text not null,
    step integer not null,
    phase text not null,
    result text,
    created integer not null
) strict;

create index operation_unfinished on operation (phase) where phase in ('forward', 'backward');

create table session (
    environment text not null,
    name text not null,
    record text not null,
    started integer not null,
    primary key (environment, name)
) strict;

create table shared (
    id text primary key,
    project text not null,
    service text not null,
    hash text not null,
    definition text not null,
    idle_since integer,
    unique (project, service)
) strict;

create table shared_use (
    shared text not null references shared (id) on delete cascade,
    environment text not null,
    primary key (shared, environment)
) strict;

create table trust (
    source text not null,
    hash text not null,
    created integer not null,
    primary key (source, hash)
) strict;
