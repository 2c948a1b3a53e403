-- A session is in an environment or in a workspace; identities of both are of one kind.
alter table session rename column environment to place;
