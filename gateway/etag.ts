/** Whether an If-None-Match header holds this entity tag, by weak comparison (RFC 9110 §13.1.2). */
export function holdsTag(ifNoneMatch: string | undefined, etag: string | undefined): boolean {
  if (ifNoneMatch === undefined || etag === undefined) return false;
  const wanted = opaque(etag);
  return ifNoneMatch.split(",").some((tag) => tag.trim() === "*" || opaque(tag.trim()) === wanted);
}

/** `W/"x"` → `"x"` */
function opaque(tag: string): string {
  return tag.startsWith("W/") ? tag.slice(2) : tag;
}
