/** How a process talks to the person who started it. */
export interface Terminal {
  say: (line: string) => void;
  /** Something that the process cannot go on without has ended. */
  fatal: (error: Error) => void;
}

/** A process that has started. */
export interface Running {
  /** Not ready, drain, last batch committed, close. */
  stop: () => Promise<void>;
}
