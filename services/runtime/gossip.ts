/** What processes tell each other without a promise: it can be lost, and nobody may depend on it for what must be right. */
export type Topic = "limits";

/** News between the processes of one Waymark, gone when nobody listens. Engine: core NATS. One process alone has none. */
export interface Gossip {
  /** Tells all other processes, at once and without waiting. Says nothing while the connection is down. */
  say: (topic: Topic, payload: Uint8Array) => void;
  /** Hears what others say, never this process itself. Returns how to stop. */
  hear: (topic: Topic, listener: (payload: Uint8Array) => void) => () => void;
}
