//! A client's home with hosts that it reaches, and a project to spread over them.

use std::path::PathBuf;

use crate::home::TestHome;
use crate::host::{Host, HostPlan};
use crate::hosts::Hosts;
use crate::project::Project;

/// Images of [`shop`]; `scripts/images.sh` provides them.
pub const SHOP_IMAGES: [&str; 3] =
    ["busybox:latest", "dwell-test-postgres:latest", "dwell-test-search:latest"];

/// A home on this machine's engine and hosts that its `ssh` knows by name.
pub struct RemoteBench {
    // In this order they are dropped: the client while its hosts are still there.
    /// The client.
    pub home: TestHome,
    /// The hosts.
    pub hosts: Hosts,
}

impl RemoteBench {
    /// Starts the hosts and makes a home for the binary at this path. `None`, with a word on
    /// stderr, where hosts cannot be had.
    pub fn start(
        binary: impl Into<PathBuf>,
        plans: impl IntoIterator<Item = HostPlan>,
    ) -> Option<Self> {
        let hosts = Hosts::start(plans)?;
        let home = TestHome::new(binary).ssh_to(&hosts);
        Some(Self { home, hosts })
    }

    /// The host of this name.
    #[track_caller]
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.host(name)
    }
}

/// Writes a project of four services: `web` passes on to `api`, which waits until `db`
/// (PostgreSQL) and `search` are healthy, and asks both by name and natural port. `GET
/// /cgi-bin/shop?<word>` of `api` at port 8000 adds an order of this word and gives JSON: how many
/// `orders` of it there are, and how many `hits` the search service has.
pub fn shop(project: Project) -> Project {
    project
        .compose(SHOP)
        .script("api/cgi-bin/shop", SHOP_API)
        .file("api/index.html", "ok\n")
        .file("web/index.html", "shop\n")
        .script("web/cgi-bin/shop", SHOP_WEB)
}

const SHOP: &str = r#"services:
  web:
    image: busybox:latest
    command: httpd -f -p 80 -h /www
    init: true
    volumes: ["./web:/www:ro"]
    depends_on:
      api: { condition: service_healthy }

  api:
    image: dwell-test-postgres:latest
    command: httpd -f -p 8000 -h /www
    init: true
    volumes: ["./api:/www:ro"]
    depends_on:
      db: { condition: service_healthy }
      search: { condition: service_healthy }
    healthcheck:
      test: ["CMD", "wget", "-qO-", "http://127.0.0.1:8000/"]
      interval: 500ms
      retries: 120

  db:
    image: dwell-test-postgres:latest
    environment:
      POSTGRES_USER: shop
      POSTGRES_DB: shop
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck:
      test: ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "shop"]
      interval: 500ms
      retries: 120

  search:
    image: dwell-test-search:latest
    init: true
    healthcheck:
      test: ["CMD", "wget", "-qO-", "http://127.0.0.1:9200/"]
      interval: 500ms
      retries: 120

volumes:
  data:
"#;

const SHOP_API: &str = r#"#!/bin/sh
export PGOPTIONS=--client-min-messages=warning PGCONNECT_TIMEOUT=5
orders=$(psql -h db -U shop -d shop -qAt -v "word=$QUERY_STRING" <<'END'
create table if not exists orders (word text);
insert into orders values (:'word');
select count(*) from orders where word = :'word';
END
) || orders=null
hits=$(wget -qO- "http://search:9200/cgi-bin/search?$QUERY_STRING" | sed 's/.*"hits": \([0-9]*\).*/\1/')
printf 'Content-Type: application/json\r\n\r\n{"orders": %s, "hits": %s}\n' "$orders" "${hits:-null}"
"#;

const SHOP_WEB: &str = r#"#!/bin/sh
printf 'Content-Type: application/json\r\n\r\n'
exec wget -qO- "http://api:8000/cgi-bin/shop?$QUERY_STRING"
"#;
