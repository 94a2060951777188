import type { NatsConnection } from "@nats-io/transport-node";
import type { Gossip, Topic } from "../gossip.ts";

/** Gossip over core NATS, subject `<prefix>.gossip.<topic>`. The connection must not echo what it says itself. */
export function openGossip(
  connection: NatsConnection,
  { prefix, isUp }: { prefix: string; isUp: () => boolean },
): Gossip {
  const subjectOf = (topic: Topic) => `${prefix}.gossip.${topic}`;
  return {
    say: (topic, payload) => {
      if (!isUp()) return; // the client would keep it for later, when it is no news any more
      try {
        connection.publish(subjectOf(topic), payload);
      } catch {
        // closed, or too large: gossip promises nothing
      }
    },
    hear: (topic, listener) => {
      const subscription = connection.subscribe(subjectOf(topic), {
        callback: (error, message) => {
          if (error === null) listener(message.data);
        },
      });
      return () => subscription.unsubscribe();
    },
  };
}
