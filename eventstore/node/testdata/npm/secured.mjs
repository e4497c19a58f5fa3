// Users and access lists. The connection strings are those of an admin, of a
// user of the role ledger, of a reader, of nobody, and one with a wrong password.
import assert from "node:assert/strict";
import { all, check, connect, done, esdb, expecting, fails, Feed, fresh, named, names } from "./harness.mjs";

const [ann, leo, rita, nobody, mallory] = [0, 1, 2, 3, 4].map((n) => connect(n));
const denied = esdb.AccessDeniedError;
const group = () => esdb.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: esdb.START });

await check("who may what on a stream", async () => {
  const s = fresh("stream");
  await leo.appendToStream(s, named("a"));
  assert.equal(await names(rita.readStream(s)), "a");
  for (const other of [rita, nobody, mallory]) await fails(other.appendToStream(s, named("x")), denied);
  for (const other of [nobody, mallory]) await fails(all(other.readStream(s)), denied);
});

await check("credentials of one call", async () => {
  const s = fresh("stream");
  const credentials = { username: "leo", password: process.env.PASSWORD };
  await rita.appendToStream(s, named("a"), { credentials });
  assert.equal(await names(nobody.readStream(s, { credentials })), "a");
  await fails(leo.appendToStream(s, named("x"), { credentials: { username: "leo", password: "wrong" } }), denied);
});

await check("access lists", async () => {
  const s = fresh("listed");
  await leo.appendToStream(s, named("a"));
  await ann.setStreamMetadata(s, {
    acl: { readRoles: ["leo"], writeRoles: "$admins", deleteRoles: "$admins", metaReadRoles: "leo", metaWriteRoles: "$admins" },
  });
  assert.equal(await names(leo.readStream(s)), "a");
  assert.equal((await leo.getStreamMetadata(s)).metadata.acl.writeRoles.toString(), "$admins");
  await fails(leo.appendToStream(s, named("x"), expecting(esdb.ANY)), denied);
  await fails(leo.deleteStream(s), denied);
  await fails(leo.tombstoneStream(s), denied);
  await fails(leo.setStreamMetadata(s, {}), denied);
  await fails(all(rita.readStream(s)), denied);
  await new Feed(rita.subscribeToStream(s)).ends(denied);
  await ann.appendToStream(s, named("b"));
  await ann.deleteStream(s);
});

await check("$all takes a right of its own", async () => {
  const one = { maxCount: 1 };
  await fails(all(leo.readAll(one)), denied);
  await new Feed(leo.subscribeToAll()).ends(denied);
  assert.equal((await all(ann.readAll(one))).length, 1);
  await ann.setStreamMetadata("$all", { acl: { readRoles: ["leo"] } });
  assert.equal((await all(leo.readAll(one))).length, 1);
  const feed = new Feed(leo.subscribeToAll({ fromPosition: esdb.END }));
  await feed.sees("(caughtUp)");
  await fails(all(rita.readAll(one)), denied);
  await feed.subscription.unsubscribe();
  await ann.setStreamMetadata("$all", {});
  await fails(all(leo.readAll(one)), denied);
});

await check("groups", async () => {
  const [s, g] = [fresh("work"), fresh("group")];
  await leo.appendToStream(s, named("a"));
  await fails(leo.createPersistentSubscriptionToStream(s, g, group()), denied);
  await ann.createPersistentSubscriptionToStream(s, g, group());
  const feed = new Feed(leo.subscribeToPersistentSubscriptionToStream(s, g));
  await feed.sees("a");
  const [consumer] = (await leo.getPersistentSubscriptionToStreamInfo(s, g)).connections;
  assert.equal(consumer.username, "leo");
  await fails(leo.replayParkedMessagesToStream(s, g), denied);
  await fails(leo.updatePersistentSubscriptionToStream(s, g, group()), denied);
  await fails(leo.deletePersistentSubscriptionToStream(s, g), denied);
  await fails(leo.restartPersistentSubscriptionSubsystem(), denied);
  await fails(nobody.getPersistentSubscriptionToStreamInfo(s, g), denied);
  await new Feed(nobody.subscribeToPersistentSubscriptionToStream(s, g)).ends(denied);
  await feed.subscription.ack(...feed.events);
  await feed.subscription.unsubscribe();
});

await done();
