"""Hosts that cannot be used are refused with their cause, before anything is started."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("asyncssh", reason="the extra `cluster` is not installed")

import asyncssh

from gelu_tui.sweep.cluster.ssh_hosts import SshHosts
from gelu_tui.sweep.worker import NoWorkers


@pytest.fixture
async def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[bytes]]:
    """An ssh server that runs nothing; it fails with what the test puts into the list."""
    lines: list[bytes] = []
    host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))

    async def run(process: Any) -> None:
        process.stderr.write(b"".join(lines).decode())
        process.exit(1 if lines else 0)

    (tmp_path / "authorized").write_bytes(user_key.export_public_key())
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=str(tmp_path / "authorized"),
        process_factory=run,
    )
    port = server.get_port()
    folder = tmp_path / ".ssh"
    folder.mkdir()
    public = host_key.export_public_key().decode()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {public}")
    user_key.write_private_key(str(folder / "key"))
    (folder / "other").write_bytes(
        asyncssh.generate_private_key("ssh-ed25519").export_private_key()
    )
    hosts = {
        "good": (port, "key", "known"),
        "refused": (port, "other", "known"),
        "unknown": (port, "key", "nothing"),
        "closed": (1, "key", "known"),
    }
    (folder / "config").write_text(
        "".join(
            f"Host {name}\n  HostName 127.0.0.1\n  Port {at}\n  User me\n"
            f"  IdentityFile {folder / key}\n  UserKnownHostsFile {folder / known}\n"
            for name, (at, key, known) in hosts.items()
        )
    )
    (folder / "nothing").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield lines
    server.close()


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("refused", "The host refused cannot be reached by ssh: Permission denied"),
        ("unknown", "The host unknown cannot be reached by ssh: Host key is not trusted"),
        ("closed", "The host closed cannot be reached by ssh: "),
        ("good", "On good, /opt/python cannot start a worker: No module named 'gelu_tui'."),
    ],
)
async def test_the_cause_is_told(said: list[bytes], host: str, sentence: str) -> None:
    said.append(b"Traceback (most recent call last):\nNo module named 'gelu_tui'\n")
    with pytest.raises(NoWorkers) as caught:
        await SshHosts((host,), "/opt/python").start()
    assert caught.value.info.message.startswith(sentence) and caught.value.hint
