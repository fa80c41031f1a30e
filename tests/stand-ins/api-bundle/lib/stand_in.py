"""What web, worker and scheduler share."""

import http.server
import os
import pathlib
import socketserver

import psycopg2
import redis

VERSION = (pathlib.Path(__file__).parent.parent / "VERSION").read_text().strip()
JOBS = os.environ["REDIS_PREFIX"] + "jobs"


def database():
    """A connection in which everything is done at once."""
    connection = psycopg2.connect(
        host=os.environ["POSTGRES_HOST"],
        port=os.environ["POSTGRES_PORT"],
        dbname=os.environ["POSTGRES_DB"],
        user=os.environ["POSTGRES_USER"],
        password=os.environ["POSTGRES_PASSWORD"],
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1)")
        cursor.execute("CREATE TABLE IF NOT EXISTS done (id serial PRIMARY KEY, who text, what text)")
        cursor.execute("SELECT pg_advisory_unlock(1)")
    return connection


def cache():
    return redis.Redis.from_url(os.environ["REDIS_URL"])


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Handler(http.server.BaseHTTPRequestHandler):
    def address_string(self):
        return "socket"

    def log_message(self, *_):
        pass

    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(path, handler):
    """Listens on a Unix socket, for its group as well."""
    pathlib.Path(path).unlink(missing_ok=True)
    return Server(path, handler)
