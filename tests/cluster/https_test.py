#!/usr/bin/env python3
"""HTTPS: with a certificate of the home's own authority, its replacement, and what stays plain text."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import unittest

from cluster import ClusterTest, PATIENCE_SECONDS
from program import run


def own_address():
    """Of this machine in its network, where it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return None


def make_certificate(folder, name, addresses):
    """Files of a certificate that is its own authority, and of its key."""
    key, certificate = f"{folder}/{name}.key", f"{folder}/{name}.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName={addresses}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key


class Https(ClusterTest):
    def make_certificate(self, name):
        return make_certificate(self.folder, name, "DNS:localhost,IP:127.0.0.1")

    def begin(self, *flags, **how):
        self.certificate, self.key = self.make_certificate("home")
        self.up("--tls-cert", self.certificate, "--tls-key", self.key, *flags, **how)
        self.port = int(self.url.rsplit(":", 1)[1])
        self.url = f"127.0.0.1:{self.port}"
        self.join("desk")
        self.wait_for_stages(1)

    def connect(self, trusted, host="127.0.0.1"):
        return http.client.HTTPSConnection(host, self.port, context=ssl.create_default_context(cafile=trusted),
                                           timeout=PATIENCE_SECONDS)

    def test_answers_in_tls_what_it_answers_in_plain_text(self):
        self.begin()
        self.assertIn("https://127.0.0.1", self.coordinator.text)
        body = {"prompt": "Bring a", "max_tokens": 24, "temperature": 0}
        said = self.complete(body["prompt"], max_tokens=24)  # loopback may go on in plain text
        connection = self.connect(self.certificate, "localhost")
        for _ in range(2):  # on one connection
            connection.request("POST", "/v1/completions", body=json.dumps(body))
            self.assertEqual(json.loads(connection.getresponse().read())["choices"][0]["text"], said)
        connection.request("POST", "/v1/completions", body=json.dumps({**body, "stream": True}))
        text = ""
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                text += "".join(choice["text"] for choice in json.loads(line[6:])["choices"])
        self.assertEqual(text, said)
        # A body of many records, and one that is too long, whose refusal is read all the same.
        connection.request("POST", "/tokenize", body=json.dumps({"content": "leek " * 200_000}))
        self.assertEqual(len(json.loads(connection.getresponse().read())["tokens"]) > 200_000, True)
        connection.request("POST", "/tokenize", body=json.dumps({"content": "x" * (33 << 20)}))
        reply = connection.getresponse()
        self.assertEqual((reply.status, b"at most" in reply.read()), (413, True))
        connection.close()

        # The command line asks it by its name, and trusts the authority that it is given.
        asked = ("status", "--url", f"https://localhost:{self.port}")
        self.assertIn("desk", self.fine(*asked, env={"SSL_CERT_FILE": self.certificate}).out)
        self.fails(*asked, says=["SSL_CERT_FILE"], peak_mib=1000)  # this test's own body counts

    def test_streams_end_when_their_client_goes_and_others_wait_for_nobody(self):
        self.begin()
        context = ssl.create_default_context(cafile=self.certificate)
        silent = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(20)]
        for i, client in enumerate(silent):
            if i % 2:
                client.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of a handshake
        client = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port)), server_hostname="localhost")
        body = json.dumps({"prompt": "Bring", "max_tokens": 100_000, "ignore_eos": True, "stream": True}).encode()
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        while b"data: " not in client.recv(65536):
            pass
        self.wait_until("it computes", lambda status: status["instances"][0]["requests"]["running"] == 1)
        client.close()
        self.wait_until("nobody is computed for", lambda status: status["instances"][0]["requests"]["running"] == 0)
        for client in silent:
            client.close()

    def test_a_replaced_certificate_is_shown_and_a_useless_one_is_not(self):
        self.begin()
        # A proper one, in between of which the certificate is another key's.
        certificate, key = self.make_certificate("next")
        os.replace(certificate, self.certificate)
        connection = self.connect(self.certificate)
        with self.assertRaises(ssl.SSLCertVerificationError):  # still the former one
            connection.request("GET", "/health")
        self.coordinator.wait_for("new certificate not used")
        os.replace(key, self.key)
        connection = self.connect(self.certificate)
        connection.request("GET", "/health")
        self.assertEqual(connection.getresponse().status, 200)
        self.coordinator.wait_for("new certificate in use")

    def test_useless_files_are_told_at_the_start(self):
        certificate, key = self.make_certificate("one")
        _, other_key = self.make_certificate("other")
        of_another_kind, locked = self.folder + "/rsa.key", self.folder + "/locked.key"
        subprocess.run(["openssl", "genrsa", "-out", of_another_kind, "2048"], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", key, "-aes128", "-passout", "pass:secret", "-out", locked], check=True,
                       capture_output=True)
        for files, says in ((("--tls-cert", certificate), "--tls-key"),
                            (("--tls-cert", certificate, "--tls-key", other_key), "of that certificate"),
                            (("--tls-cert", certificate, "--tls-key", of_another_kind), "of the certificate in"),
                            (("--tls-cert", certificate, "--tls-key", locked), "without a password"),
                            (("--tls-cert", key, "--tls-key", key), "certificate in PEM"),
                            (("--tls-cert", self.folder + "/none"), "none"), (("--tls-key", key), "--tls-cert")):
            done = run("up", "--no-worker", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--state-dir",
                       self.folder + "/never", *files)
            self.assertNotEqual(done.code, 0, files)
            self.assertIn(says, done.err)

    @unittest.skipUnless(own_address(), "this machine has no network")
    def test_others_are_not_heard_in_plain_text(self):
        self.begin("--no-auth", http="0.0.0.0:0")
        connection = http.client.HTTPConnection(own_address(), self.port, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/cluster?a=b")
        reply = connection.getresponse()
        self.assertEqual((reply.status, reply.getheader("Location")),
                         (308, f"https://{own_address()}:{self.port}/cluster?a=b"))
        reply.read()
        connection = http.client.HTTPConnection(own_address(), self.port, timeout=PATIENCE_SECONDS)
        connection.request("POST", "/v1/completions", body=json.dumps({"prompt": "Bring"}))
        reply = connection.getresponse()
        self.assertEqual((reply.status, b"https" in reply.read()), (400, True))


if __name__ == "__main__":
    unittest.main()
