// front.js - several objectives of a study: the trials that no other one beats.

/** Whether a is nowhere worse than b and somewhere better; 'less': for each objective whether less is better. */
function beats(a, b, less) {
  let better = false;
  for (let i = 0; i < a.length; i++) {
    const gain = less[i] ? b[i] - a[i] : a[i] - b[i];
    if (gain < 0) return false;
    better ||= gain > 0;
  }
  return better;
}

/** Those of items { values: [number of each objective] } that none beats. Items without all values do not count. */
export function front(items, less) {
  const known = items.filter(({ values }) => values.length === less.length && values.every(Number.isFinite));
  return known.filter((item) => !known.some((other) => beats(other.values, item.values, less)));
}
