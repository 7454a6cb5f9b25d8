//! From literals and repetitions to blocks: zlib's Huffman codes, in its order of decisions between equals.

use super::matches::MIN_MATCH;
use super::tables::{
    BASE_DISTANCES, BASE_LENGTHS, BIT_LENGTH_CODES, BIT_LENGTH_ORDER, DISTANCE_CODES, END_BLOCK,
    EXTRA_BIT_LENGTH_BITS, EXTRA_DISTANCE_BITS, EXTRA_LENGTH_BITS, LENGTH_CODE, LITERAL_CODES, LITERALS,
    distance_code,
};
use super::{Settings, Strategy};

const MAX_BITS: usize = 15;
/// The leaves and inner nodes of the greatest tree, and one.
const HEAP_SIZE: usize = 2 * LITERAL_CODES + 1;
const STATIC_LITERAL_CODES: usize = LITERAL_CODES + 2;

/// How a repeated length is said: the one before again, or zeros, few and many.
const REPEAT_LENGTH: usize = 16;
const REPEAT_ZERO: usize = 17;
const REPEAT_ZERO_LONG: usize = 18;

/// The symbols of the current block, and the bits that don't make up a byte yet.
#[derive(Debug)]
pub(super) struct Blocks {
    fixed: bool,
    capacity: usize,
    /// Distance and length less three; a distance of 0 makes the length a literal.
    symbols: Vec<(u16, u8)>,
    literals: Tree<HEAP_SIZE>,
    distances: Tree<{ 2 * DISTANCE_CODES + 1 }>,
    statics: Statics,
    bits: Bits,
}

impl Blocks {
    pub(super) fn new(settings: Settings) -> Blocks {
        let capacity = (1 << (settings.memory + 6)) - 1;
        let mut blocks = Blocks {
            fixed: settings.strategy == Strategy::Fixed,
            capacity,
            symbols: Vec::with_capacity(capacity),
            literals: Tree::new(),
            distances: Tree::new(),
            statics: Statics::new(),
            bits: Bits::default(),
        };
        blocks.reset();
        blocks
    }

    /// One byte. Says whether the block is full.
    pub(super) fn literal(&mut self, byte: u8) -> bool {
        self.symbols.push((0, byte));
        self.literals.nodes[usize::from(byte)].code += 1;
        self.symbols.len() == self.capacity
    }

    /// A repetition. Says whether the block is full.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "distances are below 2^15, lengths at most 258"
    )]
    pub(super) fn repeat(&mut self, distance: usize, length: usize) -> bool {
        let (distance, length) = (distance as u16, (length - MIN_MATCH) as u8);
        self.symbols.push((distance, length));
        let code = usize::from(LENGTH_CODE[usize::from(length)]);
        self.literals.nodes[LITERALS + 1 + code].code += 1;
        self.distances.nodes[distance_code(distance - 1)].code += 1;
        self.symbols.len() == self.capacity
    }

    /// Writes the block in the shortest of three ways. `stored` is its input where that is still at hand.
    pub(super) fn flush(&mut self, stored: Option<&[u8]>, length: usize, last: bool, output: &mut Vec<u8>) {
        let mut cost = Cost::default();
        self.literals.build(&Shape::literals(&self.statics), &mut cost);
        self.distances.build(&Shape::distances(&self.statics), &mut cost);
        let mut lengths = Tree::<{ 2 * BIT_LENGTH_CODES + 1 }>::new();
        self.literals.count_lengths(&mut lengths);
        self.distances.count_lengths(&mut lengths);
        lengths.build(&Shape::bit_lengths(), &mut cost);
        let mut sent = BIT_LENGTH_CODES;
        while sent > 4 && lengths.nodes[BIT_LENGTH_ORDER[sent - 1]].length == 0 {
            sent -= 1;
        }
        let own = cost.own + 3 * sent.cast_signed() + 14;
        let bytes = |bits: isize| usize::try_from((bits + 3 + 7) >> 3).unwrap_or(0);
        let (own, fixed) = (bytes(own), bytes(cost.fixed));
        let shortest = if self.fixed { fixed } else { own.min(fixed) };
        let bits = &mut self.bits;
        let last_bit = u32::from(last);
        match stored {
            Some(stored) if length + 4 <= shortest => bits.store(stored, last_bit, output),
            _ if fixed == shortest => {
                bits.send(2 | last_bit, 3, output);
                bits.symbols(
                    &self.symbols,
                    &self.statics.literals,
                    &self.statics.distances,
                    output,
                );
            }
            _ => {
                bits.send(4 | last_bit, 3, output);
                bits.trees(&self.literals, &self.distances, &lengths, sent, output);
                bits.symbols(&self.symbols, &self.literals.nodes, &self.distances.nodes, output);
            }
        }
        self.reset();
        if last {
            self.bits.align(output);
        }
    }

    fn reset(&mut self) {
        self.symbols.clear();
        for node in &mut self.literals.nodes[..LITERAL_CODES] {
            node.code = 0;
        }
        for node in &mut self.distances.nodes[..DISTANCE_CODES] {
            node.code = 0;
        }
        self.literals.nodes[END_BLOCK].code = 1;
    }
}

/// The codes that need not be sent.
#[derive(Debug)]
struct Statics {
    literals: [Node; STATIC_LITERAL_CODES],
    distances: [Node; DISTANCE_CODES],
}

impl Statics {
    fn new() -> Statics {
        let mut literals = [Node::default(); STATIC_LITERAL_CODES];
        let mut counts = [0; MAX_BITS + 1];
        for (symbol, node) in literals.iter_mut().enumerate() {
            node.length = match symbol {
                0..144 | 280.. => 8,
                144..256 => 9,
                256..280 => 7,
            };
            counts[usize::from(node.length)] += 1;
        }
        number(&mut literals, &counts);
        let mut distances = [Node {
            length: 5,
            ..Node::default()
        }; DISTANCE_CODES];
        for (code, node) in (0..).zip(&mut distances) {
            node.code = reversed(code, 5);
        }
        Statics { literals, distances }
    }
}

/// What a tree is built within.
struct Shape<'s> {
    symbols: usize,
    /// Extra bits of the symbols from the second number on.
    extra: (&'static [u8], usize),
    longest: usize,
    statics: Option<&'s [Node]>,
}

impl Shape<'_> {
    fn literals(statics: &Statics) -> Shape<'_> {
        Shape {
            symbols: LITERAL_CODES,
            extra: (&EXTRA_LENGTH_BITS, LITERALS + 1),
            longest: MAX_BITS,
            statics: Some(&statics.literals),
        }
    }

    fn distances(statics: &Statics) -> Shape<'_> {
        Shape {
            symbols: DISTANCE_CODES,
            extra: (&EXTRA_DISTANCE_BITS, 0),
            longest: MAX_BITS,
            statics: Some(&statics.distances),
        }
    }

    fn bit_lengths() -> Shape<'static> {
        Shape {
            symbols: BIT_LENGTH_CODES,
            extra: (&EXTRA_BIT_LENGTH_BITS, 0),
            longest: 7,
            statics: None,
        }
    }

    /// The bits that follow a symbol's code.
    fn extra_bits(&self, symbol: usize) -> isize {
        let (bits, base) = self.extra;
        let bits = symbol.checked_sub(base).and_then(|code| bits.get(code));
        bits.map_or(0, |bits| isize::from(*bits))
    }
}

/// What a block costs in bits, with codes of its own and with those that everybody knows.
#[derive(Debug, Default)]
struct Cost {
    own: isize,
    fixed: isize,
}

/// A symbol or an inner node.
#[derive(Debug, Default, Clone, Copy)]
struct Node {
    /// How often it occurs, then its code.
    code: u16,
    /// Its parent, then its code's length in bits.
    length: u16,
}

#[derive(Debug)]
struct Tree<const N: usize> {
    nodes: [Node; N],
    /// The last symbol that has a code.
    last: usize,
}

impl<const N: usize> Tree<N> {
    fn new() -> Tree<N> {
        Tree {
            nodes: [Node::default(); N],
            last: 0,
        }
    }

    /// From frequencies to codes.
    fn build(&mut self, shape: &Shape<'_>, cost: &mut Cost) {
        let mut heap = Heap::new();
        self.last = self.collect(shape, &mut heap, cost);
        for at in (1..=heap.length / 2).rev() {
            heap.sink(&self.nodes, at);
        }
        let mut node = shape.symbols;
        loop {
            let least = heap.pop(&self.nodes);
            let next = heap.places[1];
            heap.keep(least);
            heap.keep(next);
            self.nodes[node].code = self.nodes[least].code + self.nodes[next].code;
            heap.depths[node] = heap.depths[least].max(heap.depths[next]) + 1;
            let parent = u16::try_from(node).unwrap_or(u16::MAX);
            self.nodes[least].length = parent;
            self.nodes[next].length = parent;
            heap.places[1] = node;
            node += 1;
            heap.sink(&self.nodes, 1);
            if heap.length < 2 {
                break;
            }
        }
        heap.keep(heap.places[1]);
        let counts = self.measure(shape, &heap, cost);
        number(&mut self.nodes[..=self.last], &counts);
    }

    /// Puts the symbols that occur into the heap, at least two; says which is the last.
    fn collect(&mut self, shape: &Shape<'_>, heap: &mut Heap, cost: &mut Cost) -> usize {
        let mut last = None;
        for symbol in 0..shape.symbols {
            if self.nodes[symbol].code == 0 {
                self.nodes[symbol].length = 0;
            } else {
                heap.push(symbol);
                last = Some(symbol);
            }
        }
        while heap.length < 2 {
            let symbol = match last {
                None => 0,
                Some(symbol) if symbol < 2 => symbol + 1,
                Some(_) => 0,
            };
            if last.is_none_or(|last| last < 2) {
                last = Some(symbol);
            }
            heap.push(symbol);
            self.nodes[symbol].code = 1;
            cost.own -= 1;
            if let Some(statics) = shape.statics {
                cost.fixed -= usize::from(statics[symbol].length).cast_signed();
            }
        }
        last.unwrap_or(0)
    }

    /// From parents to lengths, none longer than it may be; how many there are of each.
    fn measure(&mut self, shape: &Shape<'_>, heap: &Heap, cost: &mut Cost) -> [u16; MAX_BITS + 1] {
        let mut counts = [0_u16; MAX_BITS + 1];
        self.nodes[heap.places[heap.kept]].length = 0;
        let mut overflow = 0;
        for &symbol in &heap.places[heap.kept + 1..HEAP_SIZE] {
            let parent = usize::from(self.nodes[symbol].length);
            let mut bits = usize::from(self.nodes[parent].length) + 1;
            if bits > shape.longest {
                bits = shape.longest;
                overflow += 1;
            }
            self.nodes[symbol].length = short(bits);
            if symbol > self.last {
                continue;
            }
            counts[bits] += 1;
            let extra = shape.extra_bits(symbol);
            let often = usize::from(self.nodes[symbol].code).cast_signed();
            cost.own += often * (bits.cast_signed() + extra);
            if let Some(statics) = shape.statics {
                cost.fixed += often * (usize::from(statics[symbol].length).cast_signed() + extra);
            }
        }
        if overflow > 0 {
            self.shorten(shape, heap, &mut counts, overflow, cost);
        }
        counts
    }

    /// Finds room for the symbols whose codes would be too long.
    fn shorten(
        &mut self,
        shape: &Shape<'_>,
        heap: &Heap,
        counts: &mut [u16; MAX_BITS + 1],
        mut overflow: isize,
        cost: &mut Cost,
    ) {
        while overflow > 0 {
            let mut bits = shape.longest - 1;
            while counts[bits] == 0 {
                bits -= 1;
            }
            counts[bits] -= 1;
            counts[bits + 1] += 2;
            counts[shape.longest] -= 1;
            overflow -= 2;
        }
        let mut leaves = heap.places[heap.kept..HEAP_SIZE].iter().rev();
        for bits in (1..=shape.longest).rev() {
            let mut left = counts[bits];
            while left > 0 {
                let Some(&symbol) = leaves.next() else { return };
                if symbol > self.last {
                    continue;
                }
                let node = &mut self.nodes[symbol];
                let change = bits.cast_signed() - usize::from(node.length).cast_signed();
                cost.own += change * usize::from(node.code).cast_signed();
                node.length = short(bits);
                left -= 1;
            }
        }
    }

    /// Counts the symbols that the lengths are sent with.
    fn count_lengths<const M: usize>(&self, lengths: &mut Tree<M>) {
        self.each_length(|symbol, _, _| lengths.nodes[symbol].code += 1);
    }

    /// The lengths with repetitions folded: symbol, extra value, its bits.
    fn each_length(&self, mut tell: impl FnMut(usize, u32, u32)) {
        let nodes = &self.nodes[..=self.last];
        let mut before = None;
        let mut at = 0;
        while at < nodes.len() {
            let length = nodes[at].length;
            // After a run of the same length that was cut the length need not be said again.
            let again = before == Some(length);
            let most = match (length, again) {
                (0, _) => 138,
                (_, true) => 6,
                (_, false) => 7,
            };
            let run = nodes[at..].iter().take(most);
            let run = run.take_while(|node| node.length == length).count();
            at += run;
            tell_run(length, again, run, &mut tell);
            before = Some(length);
        }
    }
}

/// How a run of one length is sent.
fn tell_run(length: u16, again: bool, run: usize, tell: &mut impl FnMut(usize, u32, u32)) {
    let symbol = usize::from(length);
    let least = if length == 0 || again { 3 } else { 4 };
    let over = |least: usize| u32::try_from(run - least).unwrap_or(0);
    if run < least {
        for _ in 0..run {
            tell(symbol, 0, 0);
        }
    } else if length == 0 && run <= 10 {
        tell(REPEAT_ZERO, over(3), 3);
    } else if length == 0 {
        tell(REPEAT_ZERO_LONG, over(11), 7);
    } else if again {
        tell(REPEAT_LENGTH, over(3), 2);
    } else {
        tell(symbol, 0, 0);
        tell(REPEAT_LENGTH, over(4), 2);
    }
}

/// Gives the codes of each length in the symbols' order.
fn number(nodes: &mut [Node], counts: &[u16; MAX_BITS + 1]) {
    let mut next = [0_u16; MAX_BITS + 1];
    let mut code = 0_u16;
    for bits in 1..=MAX_BITS {
        code = (code + counts[bits - 1]) << 1;
        next[bits] = code;
    }
    for node in nodes {
        if node.length != 0 {
            let next = &mut next[usize::from(node.length)];
            node.code = reversed(*next, node.length);
            *next += 1;
        }
    }
}

/// The lowest `bits` in reverse order.
fn reversed(code: u16, bits: u16) -> u16 {
    code.reverse_bits() >> (16 - bits)
}

fn short(bits: usize) -> u16 {
    u16::try_from(bits).unwrap_or(u16::MAX)
}

/// Nodes by frequency, the rarest on top; then, from the end, those that were taken off.
struct Heap {
    /// From 1 on.
    places: [usize; HEAP_SIZE],
    length: usize,
    kept: usize,
    depths: [u8; HEAP_SIZE],
}

impl Heap {
    fn new() -> Heap {
        Heap {
            places: [0; HEAP_SIZE],
            length: 0,
            kept: HEAP_SIZE,
            depths: [0; HEAP_SIZE],
        }
    }

    fn push(&mut self, node: usize) {
        self.length += 1;
        self.places[self.length] = node;
        self.depths[node] = 0;
    }

    fn pop(&mut self, nodes: &[Node]) -> usize {
        let top = self.places[1];
        self.places[1] = self.places[self.length];
        self.length -= 1;
        self.sink(nodes, 1);
        top
    }

    fn keep(&mut self, node: usize) {
        self.kept -= 1;
        self.places[self.kept] = node;
    }

    fn sink(&mut self, nodes: &[Node], mut at: usize) {
        let node = self.places[at];
        let mut child = 2 * at;
        while child <= self.length {
            if child < self.length && self.before(nodes, self.places[child + 1], self.places[child]) {
                child += 1;
            }
            if self.before(nodes, node, self.places[child]) {
                break;
            }
            self.places[at] = self.places[child];
            at = child;
            child *= 2;
        }
        self.places[at] = node;
    }

    /// Whether `left` is rarer, or as rare and no deeper.
    fn before(&self, nodes: &[Node], left: usize, right: usize) -> bool {
        let key = |node: usize| (nodes[node].code, self.depths[node]);
        key(left) <= key(right)
    }
}

/// Bits on their way to bytes, the lowest first.
#[derive(Debug, Default)]
struct Bits {
    waiting: u64,
    count: u32,
}

impl Bits {
    fn send(&mut self, value: u32, bits: u32, output: &mut Vec<u8>) {
        self.waiting |= u64::from(value) << self.count;
        self.count += bits;
        if self.count >= 32 {
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
            output.extend_from_slice(&(self.waiting as u32).to_le_bytes());
            self.waiting >>= 32;
            self.count -= 32;
        }
    }

    fn code(&mut self, node: Node, output: &mut Vec<u8>) {
        self.send(u32::from(node.code), u32::from(node.length), output);
    }

    /// Fills the last byte up.
    fn align(&mut self, output: &mut Vec<u8>) {
        let bytes = self.count.div_ceil(8) as usize;
        output.extend_from_slice(&self.waiting.to_le_bytes()[..bytes]);
        *self = Bits::default();
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower half is meant, as in zlib"
    )]
    fn store(&mut self, stored: &[u8], last: u32, output: &mut Vec<u8>) {
        self.send(last, 3, output);
        self.align(output);
        let length = stored.len() as u16;
        output.extend_from_slice(&length.to_le_bytes());
        output.extend_from_slice(&(!length).to_le_bytes());
        output.extend_from_slice(stored);
    }

    fn trees<const L: usize, const D: usize, const B: usize>(
        &mut self,
        literals: &Tree<L>,
        distances: &Tree<D>,
        lengths: &Tree<B>,
        sent: usize,
        output: &mut Vec<u8>,
    ) {
        self.send(u32::from(short(literals.last + 1 - 257)), 5, output);
        self.send(u32::from(short(distances.last)), 5, output);
        self.send(u32::from(short(sent - 4)), 4, output);
        for symbol in &BIT_LENGTH_ORDER[..sent] {
            self.send(u32::from(lengths.nodes[*symbol].length), 3, output);
        }
        let mut send = |symbol: usize, extra, bits| {
            self.code(lengths.nodes[symbol], output);
            self.send(extra, bits, output);
        };
        literals.each_length(&mut send);
        distances.each_length(&mut send);
    }

    fn symbols(
        &mut self,
        symbols: &[(u16, u8)],
        literals: &[Node],
        distances: &[Node],
        output: &mut Vec<u8>,
    ) {
        for &(distance, length) in symbols {
            if distance == 0 {
                self.code(literals[usize::from(length)], output);
                continue;
            }
            let code = usize::from(LENGTH_CODE[usize::from(length)]);
            self.code(literals[LITERALS + 1 + code], output);
            let extra = u16::from(length) - BASE_LENGTHS[code];
            self.send(u32::from(extra), u32::from(EXTRA_LENGTH_BITS[code]), output);
            let distance = distance - 1;
            let code = distance_code(distance);
            self.code(distances[code], output);
            let extra = distance - BASE_DISTANCES[code];
            self.send(u32::from(extra), u32::from(EXTRA_DISTANCE_BITS[code]), output);
        }
        self.code(literals[END_BLOCK], output);
    }
}
