const B64_ID = "replace(replace(rtrim(to_base64(encode(id)), '='), '+', '-'), '/', '_')";

/**
 * SQL, over columns `destination` and `id`, of where a device was sent, without the parameter that tells the destination
 * which scan it was: one place, one value. Whatever groups or compares destinations does it by this.
 */
export const DESTINATION = `CASE WHEN contains(destination, '=' || id) OR contains(destination, '=' || ${B64_ID})
  THEN regexp_replace(replace(replace(destination, '=' || id, '=' || chr(1)), '=' || ${B64_ID}, '=' || chr(1)),
    '[?&][^=?&#]+=' || chr(1), '')
  ELSE destination END`;
