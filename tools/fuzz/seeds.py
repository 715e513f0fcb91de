"""Where fuzzing begins: one good input of each kind, and words worth inserting."""

_CHUNK = b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,%b}]}'
_CALL = b'{"index":0,"function":{"name":"f","arguments":"{}"}}'

SEEDS: dict[str, list[bytes]] = {
    "request-head": [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nHost: h:80\r\nContent-Length: 12\r\nConnection: close, x\r\nX: y\r\n\r\n",
        b"GET https://[::1]:8/ HTTP/1.1\r\nHost: [::1]\r\nX: a\tb\t\r\nExpect: 100-continue,\r\n\r\n",
        b"POST http://h/x?y=%20 HTTP/1.0\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    ],
    "response-head": [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 503 Busy\r\nContent-Length: 5\r\nRetry-After: 7\r\nConnection: keep-alive\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
    "chunked-body": [
        b"5\r\nhello\r\n0\r\n\r\n",
        b'3 ; a = "b\\";" ;c\r\nabc\r\n0;d\r\n\r\n',
        b"A;a=b\r\n0123456789\r\n1\r\nx\r\n000\r\nTrailer: y\r\n\r\nafter",
    ],
    "event-stream": [
        b"data: " + _CHUNK % b'"delta":{"role":"assistant","content":null}' + b"\n\n",
        b"data: " + _CHUNK % b'"delta":{"content":"a b"},"finish_reason":"stop"' + b"\n\ndata: [DONE]\n\n",
        b"data: "
        + _CHUNK % b'"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}'
        + b"\r\n\r\n",
        b'\xef\xbb\xbf: ping\r\rid: 1\rdata: {"error":{"message":"x"}}\r\r',
        b"data: "
        + _CHUNK % b'"delta":{"content":[{"type":"text"}]},"finish_reason":null'
        + b"\n\ndata: [DONE]",
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
    ],
    "configuration": [
        b'listen = "127.0.0.1:0"\nworkers = 1\n[[pools]]\nname = "a"\n[[pools.replicas]]\nurl = "http://h:1"\n',
        b"[limits]\nmax_body_bytes = 1\n[[pools]]\n[pools.timeouts]\nconnect_timeout_s = 1.5\n"
        b'[pools.streams]\ncontinuation = "on"\n'
        b'[[routes]]\npath_prefix = "/"\npool = "default"\n',
    ],
}

WORDS = [
    b"\r\n", b"\n", b"\r", b"\0", b"\t", b" ", b":", b";", b",", b"0", b"-1", b"+1", b"0x1", b"\xff", b"\xc3",
    b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: h\r\n", b"\r\n\r\n", b"HTTP/1.1",
    b"data: ",
    b"[DONE]", b"{", b"}", b"[", b"]", b'"', b"null", b"\\u0000", b"\\ud800", b"9" * 20, b"ffffffffffffffff",
    b"1e400", b"inf", b"nan", b"[[pools]]\n", b"= ", b"'", b"\xef\xbb\xbf",
]  # fmt: skip

# What may stand on the two sides of a line of TOML.
KEYS = [
    b"listen", b"admin", b"workers", b"name", b"url", b"policy", b"weight", b"models", b"pool",
    b"path_prefix", b"connect_timeout_s", b"max_body_bytes", b"continuation", b"shadow", b"host", b"lisen",
    b'"a b"', b"a.b.c",
]  # fmt: skip
LITERALS = [
    b"0", b"-1", b"1.5", b"1e400", b"-0.0", b"inf", b"nan", b"9223372036854775808", b"true", b"[]", b"{}",
    b'""', b"[[1]]", b'{ a = [{ b = "" }] }', b"2024-02-29", b"07:32:00",
    b'"\\u0000"', b'"\\U0010ffff"', b"0x7f",
    b'"127.0.0.1:99999"', b'"[::1]:0"', b'"http://[::1"', b'"unix:/x"', b'"off"', b'["a", "a"]', b"'x'",
]  # fmt: skip
