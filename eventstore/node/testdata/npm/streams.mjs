// Appending, reading, deleting and metadata.
import assert from "node:assert/strict";
import { all, check, connect, done, esdb, expecting, fails, fresh, named, names, newer, numbered } from "./harness.mjs";

const { ANY, BACKWARDS, END, NO_STREAM, START, STREAM_EXISTS } = esdb;
const client = connect();
const byBatchAppend = process.argv.at(-1) === "by BatchAppend"; // whether the client appends so

async function stream(n) {
  const name = fresh("stream");
  if (n > 0) await client.appendToStream(name, numbered(n));
  return name;
}

await check("append at every expected revision", async () => {
  const s = fresh("append");
  let before = 0n;
  let revision = 0n;
  for (const state of [NO_STREAM, 0n, ANY, STREAM_EXISTS, 3n]) {
    const r = await client.appendToStream(s, named(`at ${state}`), expecting(state));
    assert.equal(r.success, true);
    assert.equal(r.nextExpectedRevision, revision++);
    assert.equal(r.position.commit, r.position.prepare);
    assert.ok(r.position.commit > before);
    before = r.position.commit;
  }
  assert.equal(await names(client.readStream(s)), "at no_stream at 0 at any at stream_exists at 3");
});

await check("wrong expected version", async () => {
  const [three, none] = [await stream(3), fresh("none")];
  const cases = [
    [three, NO_STREAM, 2n],
    [three, 1n, 2n],
    [three, 7n, 2n],
    [none, 0n, NO_STREAM],
    [none, STREAM_EXISTS, NO_STREAM],
  ];
  const soft = connect(0, "&throwOnAppendFailure=false");
  for (const [s, expected, actual] of cases) {
    const [e, a] = newer ? ["expectedState", "actualState"] : ["expectedVersion", "actualVersion"];
    await fails(client.appendToStream(s, named("x"), expecting(expected)), esdb.WrongExpectedVersionError,
      { streamName: s, [e]: expected, [a]: actual });
    const r = await soft.appendToStream(s, named("x"), expecting(expected));
    const told = byBatchAppend ? 1n : actual; // then the client only tells whether there is one
    assert.deepEqual([r.success, r.nextExpectedRevision], [false, actual === NO_STREAM ? -1n : told]);
  }
  assert.equal(await names(client.readStream(three)), "e0 e1 e2");
});

await check("a repeated append", async () => {
  const s = fresh("repeat");
  const events = numbered(3);
  const first = await client.appendToStream(s, events, expecting(NO_STREAM));
  for (const state of [NO_STREAM, ANY]) {
    const again = await client.appendToStream(s, events, expecting(state));
    assert.deepEqual(again, first);
  }
  assert.equal(await names(client.readStream(s)), "e0 e1 e2");
});

await check("events as they were given", async () => {
  const s = fresh("Ünï-ключ-鍵");
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  const given = [
    esdb.jsonEvent({ type: "Größe", data: { größe: "10 €", n: 1.5, list: [null] }, metadata: { $correlationId: "c" } }),
    esdb.binaryEvent({ type: "bytes", data: bytes, metadata: bytes }),
    esdb.binaryEvent({ type: "empty", data: new Uint8Array() }),
  ];
  const at = Date.now();
  await client.appendToStream(s, given);
  const got = await all(client.readStream(s));
  assert.equal(got.length, given.length);
  got.forEach(({ event, link, commitPosition }, i) => {
    assert.equal(link, undefined);
    assert.deepEqual([event.streamId, event.id, event.type, event.revision], [s, given[i].id, given[i].type, BigInt(i)]);
    assert.equal(event.isJson, given[i].contentType === "application/json");
    if (event.isJson) assert.deepEqual([event.data, event.metadata], [given[i].data, given[i].metadata]);
    else assert.deepEqual(Buffer.from(event.data), Buffer.from(given[i].data));
    assert.ok(Math.abs(event.created.valueOf() - at) < 60_000, `created ${event.created}`);
    assert.equal(event.position.commit, commitPosition);
  });
  assert.deepEqual(Buffer.from(got[1].event.metadata), Buffer.from(bytes));
});

await check("reads in both directions", async () => {
  const s = await stream(70); // more than one page of a server
  const read = (options) => names(client.readStream(s, options));
  const run = (from, to) => numbered(70).slice(from, to).map((e) => e.type);
  assert.equal(await read({}), run(0, 70).join(" "));
  assert.equal(await read({ maxCount: 3 }), "e0 e1 e2");
  assert.equal(await read({ fromRevision: 67n }), "e67 e68 e69");
  assert.equal(await read({ fromRevision: 30n, maxCount: 2 }), "e30 e31");
  assert.equal(await read({ fromRevision: 100n }), "");
  assert.equal(await read({ direction: BACKWARDS, fromRevision: END }), run(0, 70).reverse().join(" "));
  assert.equal(await read({ direction: BACKWARDS, fromRevision: END, maxCount: 2 }), "e69 e68");
  assert.equal(await read({ direction: BACKWARDS, fromRevision: 1n }), "e1 e0");
  if (!newer) assert.equal(await read({ direction: BACKWARDS, fromRevision: START }), "e0"); // the newer asks for forwards
  assert.equal(await read({ requiresLeader: true, maxCount: 1 }), "e0");
  const none = fresh("none");
  await fails(all(client.readStream(none)), esdb.StreamNotFoundError, { streamName: none });
});

await check("reads of $all", async () => {
  const s = fresh("all");
  const { position } = await client.appendToStream(s, numbered(3));
  const [first, , third] = await all(client.readStream(s));
  const from = (options) => names(client.readAll({ maxCount: 3, ...options }));
  assert.equal(await from({ fromPosition: first.event.position }), "e0 e1 e2");
  assert.equal(await from({ fromPosition: third.event.position, direction: BACKWARDS, maxCount: 2 }), "e1 e0");
  assert.deepEqual(third.event.position, position);
  if (!newer) { // which turns these round
    assert.equal(await from({ fromPosition: END }), "");
    assert.equal(await from({ fromPosition: START, direction: BACKWARDS }), "");
  }
  const last = await all(client.readAll({ fromPosition: END, direction: BACKWARDS, maxCount: 1 }));
  assert.ok(last[0].event.position.commit >= position.commit);
  if (!newer) return; // the older generation has no filter on reads
  const filtered = (filter) => from({ fromPosition: first.event.position, filter });
  await client.appendToStream(fresh("other"), named("other"));
  assert.equal(await filtered(esdb.streamNameFilter({ prefixes: [s] })), "e0 e1 e2");
  assert.equal(await filtered(esdb.eventTypeFilter({ regex: "^oth" })), "other");
});

await check("large batches", async () => {
  const s = fresh("large");
  const batch = (n, size) =>
    Array.from({ length: n }, (_, i) => esdb.binaryEvent({ type: `e${i}`, data: new Uint8Array(size).fill(i) }));
  const r = await client.appendToStream(s, batch(4000, 200), { ...expecting(NO_STREAM), batchAppendSize: 64 * 1024 });
  assert.equal(r.nextExpectedRevision, 3999n);
  const one = await client.appendToStream(s, batch(1, 1_000_000), expecting(3999n));
  assert.equal(one.nextExpectedRevision, 4000n);
  const got = await all(client.readStream(s));
  assert.equal(got.length, 4001);
  got.forEach(({ event }, i) => assert.equal(event.data.length, i < 4000 ? 200 : 1_000_000));
  await fails(client.appendToStream(s, batch(300, 10_000)), esdb.MaxAppendSizeExceededError, { maxAppendSize: 1 << 20 });
  assert.equal((await all(client.readStream(s, { direction: BACKWARDS, fromRevision: END, maxCount: 1 })))[0].event.revision, 4000n);
});

await check("delete and begin again", async () => {
  const s = await stream(3);
  const refused = await fails(client.deleteStream(s, { expectedRevision: 1n }), esdb.WrongExpectedVersionError, { streamName: s });
  const [e, a] = newer ? ["expectedState", "actualState"] : ["expectedVersion", "actualVersion"];
  assert.deepEqual([refused[e], refused[a]], [1n, 2n]);
  assert.equal(await names(client.readStream(s)), "e0 e1 e2");
  const { position } = await client.deleteStream(s, { expectedRevision: 2n });
  assert.ok(position.commit > 0n);
  await fails(all(client.readStream(s)), esdb.StreamNotFoundError, { streamName: s });
  await fails(client.appendToStream(s, named("x"), expecting(STREAM_EXISTS)), esdb.StreamDeletedError, { streamName: s });
  const r = await client.appendToStream(s, named("again"), expecting(NO_STREAM));
  assert.equal(r.nextExpectedRevision, 3n);
  assert.equal(await names(client.readStream(s)), "again");
  await fails(client.deleteStream(fresh("none"), { expectedRevision: 0n }), esdb.WrongExpectedVersionError);
});

await check("tombstones", async () => {
  const s = await stream(2);
  await fails(client.tombstoneStream(s, { expectedRevision: 0n }), esdb.WrongExpectedVersionError, { streamName: s });
  const { position } = await client.tombstoneStream(s, { expectedRevision: 1n });
  assert.ok(position.commit > 0n);
  for (const call of [
    () => all(client.readStream(s)),
    () => all(client.readStream(s, { direction: BACKWARDS, fromRevision: END })),
    () => client.appendToStream(s, named("x")),
    () => client.appendToStream(s, named("x"), expecting(NO_STREAM)),
    () => client.deleteStream(s),
    () => client.tombstoneStream(s),
  ]) {
    await fails(call(), esdb.StreamDeletedError, { streamName: s });
  }
  await fails(client.setStreamMetadata(s, { maxCount: 1 }), esdb.StreamDeletedError, { streamName: `$$${s}` });
  const none = fresh("none");
  await client.tombstoneStream(none, { expectedRevision: NO_STREAM });
  await fails(all(client.readStream(none)), esdb.StreamDeletedError);
});

await check("metadata", async () => {
  const s = await stream(10);
  assert.equal((await client.getStreamMetadata(s)).metadata, undefined);
  const metadata = {
    maxCount: 5, maxAge: 3600, truncateBefore: 2, cacheControl: 60, owner: "parking",
    acl: { readRoles: ["$all", "ann"], writeRoles: "ann", deleteRoles: "$admins", metaReadRoles: "$all", metaWriteRoles: ["ann"] },
  };
  const set = await client.setStreamMetadata(s, metadata, expecting(NO_STREAM));
  assert.equal(set.nextExpectedRevision, 0n);
  const got = (await client.getStreamMetadata(s)).metadata;
  assert.deepEqual([got.maxCount, got.maxAge, got.truncateBefore, got.cacheControl, got.owner], [5, 3600, 2, 60, "parking"]);
  assert.deepEqual([got.acl.readRoles, got.acl.deleteRoles].flat(), ["$all", "ann", "$admins"]);
  assert.equal(await names(client.readStream(s)), "e5 e6 e7 e8 e9");
  await client.setStreamMetadata(s, { truncateBefore: 8 }, expecting(0n));
  assert.equal(await names(client.readStream(s)), "e8 e9");
  assert.equal(await names(client.readStream(s, { direction: BACKWARDS, fromRevision: END })), "e9 e8");
  await fails(client.setStreamMetadata(s, {}, expecting(0n)), esdb.WrongExpectedVersionError);
  await client.setStreamMetadata(s, { maxCount: 3 }, expecting(ANY));
  await client.appendToStream(s, named("e10"));
  assert.equal(await names(client.readStream(s)), "e8 e9 e10");
});

await check("links", async () => {
  const [s, gone, links] = [await stream(2), await stream(1), fresh("links")];
  const link = (to) => esdb.binaryEvent({ type: "$>", data: Buffer.from(to) });
  await client.appendToStream(links, [link(`1@${s}`), link(`0@${gone}`), link("7@nowhere"), link(`0@${s}`), named("plain")]);
  await client.deleteStream(gone);
  assert.equal(await names(client.readStream(links, { resolveLinkTos: true })), "0>e1 1>- 2>- 3>e0 plain");
  assert.equal(await names(client.readStream(links)), "$> $> $> $> plain");
  const [{ event, link: by }] = await all(client.readStream(links, { resolveLinkTos: true, maxCount: 1 }));
  assert.deepEqual([event.streamId, event.revision, by.streamId, by.revision, by.type], [s, 1n, links, 0n, "$>"]);
});

await done();
