"""What holds for every connection, whatever is spoken over it."""

import asyncio

import pytest

from mxseal.adapters.tls import Connection


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_peer_that_takes_no_octets_keeps_no_socket_open(serving, cancelled):
    async def takes_nothing(_client):
        await asyncio.Event().wait()

    async def run():
        async with serving(takes_nothing) as port:
            connection = await Connection.open("127.0.0.1", port)
            transport = connection._writer.transport
            # More than the buffers of both ends: the rest of it waits here.
            connection._writer.write(b"x" * (64 << 20))
            closing = asyncio.create_task(connection.close())
            if cancelled:
                await asyncio.sleep(0)
                closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
            assert closing.cancelled() is cancelled
            await asyncio.sleep(0)
            return transport.get_write_buffer_size(), transport.get_extra_info("socket").fileno()

    assert asyncio.run(run()) == (0, -1)
