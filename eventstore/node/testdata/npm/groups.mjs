// Persistent subscriptions to a stream and to $all.
import assert from "node:assert/strict";
import { all, check, connect, done, esdb, fails, Feed, fresh, named, names, numbered } from "./harness.mjs";

const { END, PARK, RETRY, SKIP, START } = esdb;
const client = connect();
const settings = (changes) =>
  esdb.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START, checkPointLowerBound: 1, ...changes });
const allSettings = (changes) =>
  esdb.persistentSubscriptionToAllSettingsFromDefaults({ startFrom: START, checkPointLowerBound: 1, ...changes });

async function made(n, changes) {
  const [s, group] = [fresh("work"), fresh("group")];
  if (n > 0) await client.appendToStream(s, numbered(n));
  await client.createPersistentSubscriptionToStream(s, group, settings(changes));
  return [s, group];
}
const join = (s, group, options) => new Feed(client.subscribeToPersistentSubscriptionToStream(s, group, options));
const info = (s, group) => client.getPersistentSubscriptionToStreamInfo(s, group);

/** Waits until what a group says of itself is so: parking and counting go on after an answer was sent. */
async function becomes(s, group, condition) {
  for (;;) {
    const told = await info(s, group);
    if (condition(told)) return told;
  }
}

await check("making, changing and unmaking", async () => {
  const [s, group] = await made(0, { maxRetryCount: 3 });
  const which = { streamName: s, groupName: group };
  await fails(client.createPersistentSubscriptionToStream(s, group, settings()), esdb.PersistentSubscriptionExistsError, which);
  assert.equal((await info(s, group)).settings.maxRetryCount, 3);
  await client.updatePersistentSubscriptionToStream(s, group, settings({ maxRetryCount: 4 }));
  assert.equal((await info(s, group)).settings.maxRetryCount, 4);
  assert.deepEqual((await client.listPersistentSubscriptionsToStream(s)).map((i) => i.groupName), [group]);
  assert.ok((await client.listAllPersistentSubscriptions()).some((i) => i.eventSource === s && i.groupName === group));
  await client.deletePersistentSubscriptionToStream(s, group);
  const gone = esdb.PersistentSubscriptionDoesNotExistError;
  await fails(client.deletePersistentSubscriptionToStream(s, group), gone, which);
  await fails(client.updatePersistentSubscriptionToStream(s, group, settings()), gone, which);
  await fails(client.replayParkedMessagesToStream(s, group), gone, which);
  await fails(info(s, group), gone, which);
  await fails(client.listPersistentSubscriptionsToStream(fresh("none")), gone);
  await join(s, group).ends(gone);
  await client.createPersistentSubscriptionToStream(s, group, settings({ consumerStrategyName: esdb.PINNED }));
  assert.equal((await info(s, group)).settings.consumerStrategyName, esdb.PINNED);
});

await check("settings are kept", async () => {
  const given = {
    resolveLinkTos: true, extraStatistics: true, messageTimeout: 12_345, maxRetryCount: 7, checkPointAfter: 1_234,
    checkPointLowerBound: 2, checkPointUpperBound: 33, maxSubscriberCount: 4, liveBufferSize: 44, readBatchSize: 11,
    historyBufferSize: 55, consumerStrategyName: esdb.DISPATCH_TO_SINGLE, startFrom: 2n,
  };
  const [s, group] = await made(5, given);
  const told = await info(s, group);
  assert.deepEqual(told.settings, given);
  assert.deepEqual([told.eventSource, told.groupName, told.connections], [s, group, []]);
  const feed = join(s, group, { bufferSize: 2 });
  await feed.count(2);
  assert.equal(feed.log.join(" "), "(confirmation) e2 e3");
  const [consumer] = (await info(s, group)).connections;
  assert.deepEqual([consumer.inFlightMessages, consumer.availableSlots, consumer.connectionName], [2, 0, client.connectionName]);
  await feed.subscription.ack(...feed.events);
  await feed.count(3);
  const { stats } = await becomes(s, group, (i) => i.stats.lastCheckpointedEventRevision === 3n);
  assert.deepEqual([stats.lastKnownEventRevision, stats.parkedMessageCount, stats.totalItems], [4n, 0n, 3n]);
  await feed.subscription.unsubscribe();
});

await check("acknowledged, retried, skipped and parked", async () => {
  const [s, group] = await made(4);
  const feed = join(s, group, { bufferSize: 10 });
  await feed.count(4);
  const [a, b, c, d] = feed.events;
  await feed.subscription.ack(a);
  await feed.subscription.nack(RETRY, "not now", b);
  await feed.subscription.nack(SKIP, "never", c);
  await feed.subscription.nack(PARK, "later, by hand", d);
  await feed.count(5);
  const again = feed.events[4];
  assert.deepEqual([again.event.id, again.retryCount, a.retryCount], [b.event.id, 1, 0]);
  await feed.subscription.ack(again);
  await becomes(s, group, (i) => i.stats.parkedMessageCount === 1n && i.stats.totalInFlightMessages === 0);
  const [parked] = await all(client.readStream(`$persistentsubscription-${s}::${group}-parked`, { resolveLinkTos: true }));
  assert.deepEqual([parked.event.id, parked.link.metadata.reason], [d.event.id, "Client explicitly NAK'ed message.\nlater, by hand"]);
  await client.replayParkedMessagesToStream(s, group, { stopAt: 1 });
  await feed.count(6);
  const replayed = feed.events[5];
  assert.deepEqual([replayed.event.id, replayed.link.type, replayed.retryCount], [d.event.id, "$>", 0]);
  await feed.subscription.ack(replayed);
  const { stats } = await becomes(s, group, (i) => i.stats.parkedMessageCount === 0n && i.stats.totalInFlightMessages === 0);
  assert.equal(stats.outstandingMessagesCount, 0);
  await feed.subscription.unsubscribe();
});

await check("refused too often, and left unanswered", async () => {
  const [s, group] = await made(1, { maxRetryCount: 1, messageTimeout: 100 });
  const feed = join(s, group);
  await feed.count(2);
  assert.deepEqual(feed.events.map((e) => e.retryCount), [0, 1]);
  await becomes(s, group, (i) => i.stats.parkedMessageCount === 1n);
  assert.equal(feed.events.length, 2);
  await feed.subscription.unsubscribe();
});

await check("consumers come and go", async () => {
  const [s, group] = await made(3, { maxSubscriberCount: 1 });
  const first = join(s, group);
  await first.count(3);
  await first.subscription.ack(first.events[0]);
  await becomes(s, group, (i) => i.stats.totalInFlightMessages === 2);
  await join(s, group).ends(esdb.PersistentSubscriptionMaximumSubscribersReachedError);
  await first.subscription.unsubscribe();
  await becomes(s, group, (i) => i.connections.length === 0);
  const second = join(s, group);
  await second.count(2);
  assert.deepEqual(second.events.map((e) => [e.event.type, e.retryCount]), [["e1", 1], ["e2", 1]]);
  await second.subscription.ack(...second.events);
  await client.appendToStream(s, named("live"));
  await second.sees("live");
  await client.updatePersistentSubscriptionToStream(s, group, settings());
  await second.ends(esdb.PersistentSubscriptionDroppedError);
  const third = join(s, group);
  await third.sees("live");
  await client.deletePersistentSubscriptionToStream(s, group);
  await third.ends(esdb.PersistentSubscriptionDroppedError);
});

await check("a restart of all", async () => {
  const [s, group] = await made(2);
  const feed = join(s, group);
  await feed.count(2);
  await client.restartPersistentSubscriptionSubsystem();
  await feed.ends(esdb.PersistentSubscriptionDroppedError);
  const again = join(s, group);
  await again.count(2);
  assert.equal(again.log.slice(1).join(" "), "e0 e1");
  await again.subscription.unsubscribe();
});

await check("links and binary events", async () => {
  const [s, links, group] = [fresh("target"), fresh("links"), fresh("group")];
  await client.appendToStream(s, esdb.binaryEvent({ type: "bytes", data: Uint8Array.of(0, 255) }));
  await client.appendToStream(links, esdb.binaryEvent({ type: "$>", data: Buffer.from(`0@${s}`) }));
  await client.createPersistentSubscriptionToStream(links, group, settings({ resolveLinkTos: true }));
  const feed = join(links, group);
  await feed.sees("0>bytes");
  assert.deepEqual([...feed.events[0].event.data], [0, 255]);
  await feed.subscription.ack(feed.events[0]);
  await becomes(links, group, (i) => i.stats.totalInFlightMessages === 0);
  await feed.subscription.unsubscribe();
});

await check("a large backlog", async () => {
  const [s, group] = await made(2000);
  const feed = join(s, group, { bufferSize: 100 });
  feed.subscription.on("data", (e) => feed.subscription.ack(e));
  await feed.count(2000);
  feed.events.forEach(({ event }, i) => assert.equal(event.revision, BigInt(i)));
  await feed.subscription.unsubscribe();
});

await check("a group of $all with a filter", async () => {
  const [s, group] = [fresh("all-work"), fresh("all-group")];
  const { position } = await client.appendToStream(s, [named("Before"), named("Applied")]);
  await client.appendToStream(s, [named("Other"), named("Approved")]);
  const filter = esdb.streamNameFilter({ prefixes: [s] });
  await client.createPersistentSubscriptionToAll(group, allSettings({ startFrom: position }), { filter });
  const which = { groupName: group, streamName: "$all" };
  await fails(client.createPersistentSubscriptionToAll(group, allSettings()), esdb.PersistentSubscriptionExistsError, which);
  const feed = new Feed(client.subscribeToPersistentSubscriptionToAll(group, { bufferSize: 10 }));
  await feed.count(3);
  await client.appendToStream(fresh("elsewhere"), named("Elsewhere"));
  await client.appendToStream(s, named("Live"));
  await feed.sees("Live");
  assert.equal(feed.log.slice(1).join(" "), "Applied Other Approved Live");
  assert.deepEqual((await client.getPersistentSubscriptionToAllInfo(group)).settings.startFrom, position);
  await feed.subscription.nack(PARK, "by hand", feed.events[0]);
  await feed.subscription.ack(...feed.events.slice(1));
  let told;
  do told = await client.getPersistentSubscriptionToAllInfo(group);
  while (told.stats.parkedMessageCount !== 1n || told.stats.totalInFlightMessages > 0);
  await client.replayParkedMessagesToAll(group);
  await feed.count(5);
  assert.deepEqual([feed.events[4].event.type, feed.events[4].event.streamId], ["Applied", s]);
  await feed.subscription.ack(feed.events[4]);
  assert.ok((await client.listPersistentSubscriptionsToAll()).some((i) => i.groupName === group));
  await client.updatePersistentSubscriptionToAll(group, allSettings({ startFrom: END, maxRetryCount: 2 }));
  await feed.ends(esdb.PersistentSubscriptionDroppedError);
  assert.equal((await client.getPersistentSubscriptionToAllInfo(group)).settings.maxRetryCount, 2);
  await client.deletePersistentSubscriptionToAll(group);
  await fails(client.getPersistentSubscriptionToAllInfo(group), esdb.PersistentSubscriptionDoesNotExistError, which);
});

await check("the parked stream is an ordinary one", async () => {
  const [s, group] = await made(1);
  const feed = join(s, group);
  await feed.count(1);
  await feed.subscription.nack(PARK, "", feed.events[0]);
  await becomes(s, group, (i) => i.stats.parkedMessageCount === 1n);
  assert.equal(await names(client.readStream(`$persistentsubscription-${s}::${group}-parked`)), "$>");
  await feed.subscription.unsubscribe();
});

await done();
