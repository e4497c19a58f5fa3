// Subscriptions to a stream and to $all.
import assert from "node:assert/strict";
import { check, connect, done, esdb, Feed, fresh, named, numbered } from "./harness.mjs";

const { END, START } = esdb;
const client = connect();
const follow = (s, options) => new Feed(client.subscribeToStream(s, options));
const followAll = (options) => new Feed(client.subscribeToAll(options));

await check("a stream, from everywhere", async () => {
  const s = fresh("followed");
  await client.appendToStream(s, numbered(3));
  const feeds = {
    "(confirmation) e0 e1 e2 (caughtUp) live": follow(s, { fromRevision: START }),
    "(confirmation) e2 (caughtUp) live": follow(s, { fromRevision: 1n }),
    "(confirmation) (caughtUp) live": follow(s, { fromRevision: END }),
  };
  for (const feed of Object.values(feeds)) await feed.sees("(caughtUp)");
  await client.appendToStream(s, named("live"));
  for (const [want, feed] of Object.entries(feeds)) {
    await feed.sees("live");
    assert.equal(feed.log.join(" "), want);
    assert.ok(feed.subscription.id.length > 0);
    await feed.subscription.unsubscribe();
  }
});

await check("a stream that is not there yet", async () => {
  const s = fresh("later");
  const feed = follow(s);
  await feed.sees("(caughtUp)");
  await client.appendToStream(s, named("first"));
  await feed.sees("first");
  await client.deleteStream(s);
  await client.appendToStream(s, named("after"));
  await feed.sees("after");
  await client.tombstoneStream(s);
  const error = await feed.ends(esdb.StreamDeletedError);
  assert.equal(error.streamName, s);
  assert.equal(feed.log.slice(-3).join(" "), "after $streamDeleted (StreamDeletedError)");
  await follow(s).ends(esdb.StreamDeletedError);
});

await check("links and binary events", async () => {
  const [s, links] = [fresh("target"), fresh("links")];
  await client.appendToStream(s, esdb.binaryEvent({ type: "bytes", data: Uint8Array.of(0, 255, 10) }));
  const link = () => esdb.binaryEvent({ type: "$>", data: Buffer.from(`0@${s}`) });
  await client.appendToStream(links, link());
  const feed = follow(links, { resolveLinkTos: true });
  await feed.sees("0>bytes");
  await client.appendToStream(links, link());
  await feed.sees("1>bytes");
  assert.deepEqual([...feed.events[1].event.data], [0, 255, 10]);
  await feed.subscription.unsubscribe();
});

await check("many events, in order, from history into the present", async () => {
  const s = fresh("many");
  await client.appendToStream(s, numbered(2000, "h"));
  const feed = follow(s);
  for (let i = 0; i < 20; i++) await client.appendToStream(s, numbered(50, `l${i}-`));
  await feed.count(3000);
  feed.events.forEach(({ event }, i) => assert.equal(event.revision, BigInt(i)));
  await feed.subscription.unsubscribe();
});

await check("$all", async () => {
  const s = fresh("in-all");
  const { position } = await client.appendToStream(s, numbered(3));
  const feeds = [followAll({ fromPosition: END }), followAll({ fromPosition: position })];
  for (const feed of feeds) await feed.sees("(caughtUp)");
  await client.appendToStream(s, named("live"));
  for (const feed of feeds) {
    await feed.sees("live");
    assert.equal(feed.log.join(" "), "(confirmation) (caughtUp) live");
    await feed.subscription.unsubscribe();
  }
});

await check("$all with filters", async () => {
  const s = fresh("filtered");
  const { position } = await client.appendToStream(s, named("Before"));
  await client.appendToStream(s, [named("Applied"), named("Approved"), named("Renewed")]);
  await client.setStreamMetadata(s, { maxCount: 100 });
  const cases = [
    [esdb.streamNameFilter({ prefixes: ["nothing", s] }), "Applied Approved Renewed", "Applied"],
    [esdb.streamNameFilter({ regex: `^${s}$` }), "Applied Approved Renewed", "Applied"],
    [esdb.eventTypeFilter({ prefixes: ["App"] }), "Applied Approved", "Approved"],
    [esdb.eventTypeFilter({ regex: "ed$" }), "Applied Approved Renewed", "Renewed"],
    [esdb.excludeSystemEvents(), "Applied Approved Renewed", "Renewed"],
  ];
  for (const [filter, history, live] of cases) {
    const feed = followAll({ fromPosition: position, filter });
    await feed.sees("(caughtUp)");
    await client.appendToStream(s, named(live));
    await feed.until(() => feed.log.at(-1) === live);
    const before = feed.log.slice(1, feed.log.indexOf("(caughtUp)"));
    assert.equal(before.slice(0, history.split(" ").length).join(" "), history, filter);
    await feed.subscription.unsubscribe();
  }
});

await check("checkpoints, and going on from one", async () => {
  const [wanted, other] = [fresh("wanted"), fresh("other")];
  const { position: start } = await client.appendToStream(wanted, named("w0"));
  await client.appendToStream(other, numbered(300));
  const checkpoints = [];
  let reached;
  const twenty = new Promise((resolve) => { reached = resolve; });
  const filter = esdb.streamNameFilter({
    prefixes: [wanted], maxSearchWindow: 10, checkpointInterval: 1,
    checkpointReached: async (_, position) => { if (checkpoints.push(position.commit) === 20) reached(); },
  });
  const feed = followAll({ fromPosition: start, filter });
  await feed.sees("(caughtUp)");
  for (let i = 0; i < 10; i++) await client.appendToStream(other, numbered(30, `more${i}-`));
  await twenty;
  assert.ok(checkpoints[0] >= start.commit, `checkpoints ${checkpoints}`); // where the first page began
  checkpoints.slice(1).forEach((c, i) => assert.ok(c > checkpoints[i], `checkpoints ${checkpoints}`));
  assert.equal(feed.events.length, 0);
  await feed.subscription.unsubscribe();
  const last = checkpoints.at(-1);
  await client.appendToStream(wanted, named("w1"));
  const again = followAll({ fromPosition: { commit: last, prepare: last }, filter });
  await again.sees("w1");
  assert.equal(again.log.join(" ").replace(" (caughtUp)", ""), "(confirmation) w1");
  await again.subscription.unsubscribe();
});

await done();
