"""The least that Python can do: an asyncio server on uvloop that reads HTTP by itself, with the same model.

serve_bare.py ARGUMENTS REPEATS; serve_bare.py --serve PORT is the server, of one process.
"""
import asyncio
import os
import sys
import time


class Recommend(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        size = int(head[at + 15:].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + size:
            return
        began = time.perf_counter()
        q = orjson.loads(self.buffer[end + 4:end + 4 + size])
        self.buffer = self.buffer[end + 4 + size:]
        body = orjson.dumps(model.answer(q["user"], *model.recommend(q["user"], q["k"]), began))
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


async def main(port):
    server = await asyncio.get_running_loop().create_server(Recommend, "127.0.0.1", port)
    await server.serve_forever()


if sys.argv[1] == "--serve":
    import orjson
    import uvloop
    from serve_model import Model
    model = Model(os.environ["SERVE_BUNDLE"])
    uvloop.run(main(int(sys.argv[2])))
else:
    from serve_fastapi import run
    import uvloop
    run(lambda port: [sys.executable, "serve_bare.py", "--serve", str(port)], "vectorised", "uvloop " + uvloop.__version__)
