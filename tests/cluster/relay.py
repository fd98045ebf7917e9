#!/usr/bin/env python3
"""Relays connections from addresses that pods can reach to programs that listen on loopback only.

    relay.py [--tls CERTIFICATE KEY] FROM:PORT=TO:PORT ...

What is named after `--tls` is answered with that certificate; what is named before it is passed on as it comes.
"""

import asyncio
import ssl
import sys


async def pump(reader, writer):
    """Copies until the end, and hands the end on."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        # One end has gone, or its TLS was cut short.
        pass
    finally:
        # An end that was cut short ends the other as well.
        if not writer.can_write_eof():
            writer.close()


async def relay(reader, writer, host, port):
    try:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))
    for end in (writer, upstream_writer):
        end.close()


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


async def main(arguments):
    context, servers, tasks = None, [], set()
    while arguments:
        if arguments[0] == "--tls":
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(arguments[1], arguments[2])
            arguments = arguments[3:]
            continue
        listen, target = map(address, arguments.pop(0).split("="))

        def serve(reader, writer, target=target):
            # The loop itself keeps no hold on its tasks.
            task = asyncio.ensure_future(relay(reader, writer, *target))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        servers.append(await asyncio.start_server(serve, *listen, ssl=context))
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main(sys.argv[1:]))
