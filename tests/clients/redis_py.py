"""Drives a cluster with redis-py: `redis_py.py single|cluster PORT`."""

import sys
import time

import redis


def check(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def refused(call, *words):
    try:
        call()
    except redis.ResponseError as error:
        for word in words:
            assert word in str(error), f"{error} lacks {word}"
    else:
        raise AssertionError("not refused")


def strings(client):
    every_byte = bytes(range(256)) * 40
    check(client.set("bytes", every_byte), True)
    check(client.get("bytes"), every_byte)
    check(client.set("once", 1, nx=True), True)
    check(client.set("once", 2, nx=True), None)
    check(client.set("once", 3, xx=True, get=True), b"1")
    check(client.incr("once"), 4)
    check(client.incrby("once", -6), -2)
    check(float(client.incrbyfloat("fraction", 1.5)), 1.5)
    check(client.append("text", "ab"), 2)
    check(client.append("text", "cd"), 4)
    check(client.getrange("text", 1, -2), b"bc")
    check(client.setrange("text", 6, "x"), 7)
    check(client.get("text"), b"abcd\0\0x")
    check(client.strlen("text"), 7)
    check(client.getdel("text"), b"abcd\0\0x")
    check(client.get("text"), None)
    check(client.getset("once", "new"), b"-2")
    refused(lambda: client.incr("once"), "not an integer")


def expiry(client):
    check(client.set("brief", "x", px=150), True)
    assert 0 < client.pttl("brief") <= 150
    check(client.set("long", "x", ex=100), True)
    check(client.ttl("long"), 100)
    check(client.persist("long"), True)
    check(client.ttl("long"), -1)
    check(client.expire("long", 50, nx=True), True)
    check(client.expire("long", 60, lt=True), False)
    check(client.getex("long", persist=True), b"x")
    check(client.expiretime("long"), -1)
    check(client.ttl("nothing"), -2)
    time.sleep(0.2)
    check(client.get("brief"), None)
    check(client.exists("brief"), 0)


def many_keys(client):
    names = [f"many:{index}" for index in range(300)]
    for name in names:
        client.set(name, name)
    found = sorted(client.scan_iter(match="many:*", count=17))
    check(found, sorted(name.encode() for name in names))
    check(client.exists("many:1"), 1)
    check(client.type("many:1"), b"string")
    check(client.delete("many:1"), 1)
    check(client.delete("many:1"), 0)


def across_slots(client):
    check(client.mset({f"m:{index}": index for index in range(50)}), True)
    values = client.mget([f"m:{index}" for index in range(51)])
    check(values, [str(index).encode() for index in range(50)] + [None])
    check(client.exists(*[f"m:{index}" for index in range(60)]), 50)
    check(client.delete(*[f"m:{index}" for index in range(60)]), 50)


def pipelines(client):
    pipe = client.pipeline(transaction=False)
    for index in range(500):
        pipe.set(f"p:{index}", index)
        pipe.get(f"p:{index}")
    answers = pipe.execute()
    check(answers[1::2], [str(index).encode() for index in range(500)])


def transactions(client):
    with client.pipeline(transaction=True) as pipe:
        pipe.watch("{t}:balance")
        pipe.multi()
        pipe.set("{t}:balance", 10)
        pipe.incr("{t}:balance")
        pipe.get("{t}:balance")
        check(pipe.execute(), [True, 11, b"11"])
    with client.pipeline(transaction=True) as pipe:
        pipe.watch("{t}:balance")
        client.set("{t}:balance", 0)
        pipe.multi()
        pipe.incr("{t}:balance")
        try:
            pipe.execute()
            raise AssertionError("a watched key had changed")
        except redis.WatchError:
            pass
    check(client.get("{t}:balance"), b"0")


def single(port):
    for protocol in (2, 3):
        client = redis.Redis(port=port, protocol=protocol, client_name="test")
        client.flushall()
        check(client.ping(), True)
        strings(client)
        expiry(client)
        many_keys(client)
        across_slots(client)
        pipelines(client)
        transactions(client)
        check(client.client_getname() in (b"test", "test"), True)
        assert client.info("server")["redis_version"].startswith("7.")
        assert client.dbsize() > 0
        cache = redis.Redis(port=port, db=1, protocol=protocol)
        check(cache.set("only", "here"), True)
        check(cache.get("only"), b"here")
        check(client.get("only"), None)
        refused(lambda: redis.Redis(port=port, db=9).ping(), "DB index")
        refused(lambda: client.lpush("list", 1), "unknown command")


def cluster(port):
    for protocol in (2, 3):
        client = redis.RedisCluster(host="127.0.0.1", port=port, protocol=protocol)
        check(len(client.get_nodes()) >= 3, True)
        client.flushall(target_nodes="primaries")
        strings(client)
        expiry(client)
        many_keys(client)
        check(client.mset_nonatomic({f"m:{index}": index for index in range(20)}) is not None, True)
        check(client.mget_nonatomic([f"m:{index}" for index in range(20)])[7], b"7")
        check(client.mset({"{a}1": 1, "{a}2": 2}), True)
        check(client.mget("{a}1", "{a}2"), [b"1", b"2"])
        pipe = client.pipeline()
        for index in range(200):
            pipe.set(f"p:{index}", index)
        check(pipe.execute(), [True] * 200)


{"single": single, "cluster": cluster}[sys.argv[1]](int(sys.argv[2]))
print("all passed")
