// A task's sequences, out of their compressed block.
const TYPES = { uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
const LETTERS = "ACGTN";

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.block), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const arrays = {};
  for (const [name, { type, start, count }] of Object.entries(packed.index)) {
    arrays[name] = new TYPES[type](buffer.slice(start, start + count * TYPES[type].BYTES_PER_ELEMENT));
  }
  packed.block = ""; // its memory is wanted no longer
  const count = packed.names.length;
  const offsets = [0];
  for (const length of packed.lengths) offsets.push(offsets.at(-1) + length);
  const tokenOffsets = [0];
  for (const tokens of packed.tokens?.counts ?? []) tokenOffsets.push(tokenOffsets.at(-1) + tokens);
  const row = (name, table) => table.indexOf(name);

  return {
    ...packed,
    count,
    letters: (i) => Array.from(arrays.bases.subarray(offsets[i], offsets[i + 1]), (base) => LETTERS[base]),
    // Scores as displayed: rounded to 1/127 of the track's largest; NaN where there is none.
    track(i, method) {
      const m = row(method, packed.methods);
      const scale = arrays.scales[m * count + i];
      const steps = arrays.scores.subarray(m * offsets[count] + offsets[i], m * offsets[count] + offsets[i + 1]);
      const least = steps.reduce((low, step) => (step === -128 ? low : Math.min(low, step)), 0);
      return {
        scale,
        values: Float64Array.from(steps, (step) => (step === -128 ? NaN : (step / 127) * scale)),
        below: -least / 127,
        tied: arrays.ties[m * count + i] === 1,
      };
    },
    // The positions that a method had replaced at n, as a set; of "all", every one.
    mutated(i, method, n) {
      const { trial } = packed;
      const every = () => new Set(Array.from({ length: packed.lengths[i] }, (_, position) => position));
      if (!trial || n === 0) return trial?.restores ? every() : new Set();
      if (n === "all") return trial.restores ? new Set() : every();
      const start = (row(method, packed.methods) * count + i) * trial.deepest;
      const taken = new Set(arrays.first.subarray(start, start + n));
      return trial.restores ? new Set([...every()].filter((position) => !taken.has(position))) : taken;
    },
    rank(i, method, position) {
      if (!packed.trial) return null;
      const start = (row(method, packed.methods) * count + i) * packed.trial.deepest;
      const at = arrays.first.subarray(start, start + packed.trial.deepest).indexOf(position);
      return at < 0 ? null : at + 1;
    },
    // The model's output for the explained class, mean over draws, by count; null where not tried.
    fall(i, method) {
      const { trial } = packed;
      const r = trial ? row(method, trial.rows) : -1;
      if (r < 0) return null;
      const start = (r * count + i) * trial.counts.length;
      const read = trial.bounded
        ? (step) => (step === 65535 ? null : step / 65534)
        : (value) => (Number.isFinite(value) ? value : null);
      return Array.from(arrays.probability.subarray(start, start + trial.counts.length), read);
    },
    // The nucleotides under each token, or null where they were not recorded.
    spans(i) {
      if (!packed.tokens) return null;
      if (packed.tokens.k)
        return Array.from({ length: Math.max(0, packed.lengths[i] - packed.tokens.k + 1) }, (_, start) => [
          start,
          start + packed.tokens.k,
        ]);
      const [from, to] = [tokenOffsets[i], tokenOffsets[i + 1]];
      return Array.from({ length: to - from }, (_, t) => [arrays.starts[from + t], arrays.ends[from + t]]);
    },
    motifs: packed.motifs,
    hitsOn: (i) => packed.hits.filter((hit) => hit.sequence === packed.names[i]),
  };
}
