"""The shop's API: orders in PostgreSQL, over HTTP on port 8000."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2


def query(statement, *values):
    connection = psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=3)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


class Shop(BaseHTTPRequestHandler):
    def answer(self, status, body):
        content = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        if self.path == "/api/health":
            query("select 1")
            self.answer(200, {"healthy": True})
        elif self.path == "/api/orders":
            orders = [item for (item,) in query("select item from orders order by id")]
            self.answer(200, {"shop": os.environ["SHOP_NAME"], "orders": orders})
        else:
            self.answer(404, {"error": f"nothing at {self.path}"})

    def do_POST(self):
        if self.path != "/api/orders":
            self.answer(404, {"error": f"nothing at {self.path}"})
            return
        item = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode().strip()
        query("insert into orders (item) values (%s)", item)
        self.answer(201, {"ordered": item})


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    query("create table if not exists orders (id serial primary key, item text not null)")
    ThreadingHTTPServer(("", 8000), Shop).serve_forever()
