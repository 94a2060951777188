/** Response header in which a handler says up to which position of the log it has written. It never goes out to the public. */
export const POSITION_HEADER = "waymark-position";

/** Request header in which the gateway says up to which position of the log the caller's workspace has written. */
export const AFTER_HEADER = "waymark-after";

/** Request header in which the gateway says how many touches of the caller wait on its disk; absent: none. */
export const WAITING_HEADER = "waymark-waiting";

/** The number of touches in a request's header. */
export function waitingIn(headers: Headers): number {
  const waiting = Number(headers.get(WAITING_HEADER) ?? 0);
  return Number.isSafeInteger(waiting) && waiting > 0 ? waiting : 0;
}

/** The position in a request's header; 0 when there is none. */
export function positionAfter(headers: Headers): number {
  const position = Number(headers.get(AFTER_HEADER) ?? 0);
  return Number.isSafeInteger(position) && position > 0 ? position : 0;
}
