//! Words of a command or script, one behind the other in one buffer: a commit has dozens, and each would otherwise be
//! asked of the allocator, and given back.

use redis::{RedisWrite, ToRedisArgs};

/// Words, in order. Any bytes are a word.
#[derive(Default)]
pub struct Args {
    bytes: Vec<u8>,
    /// Where each word ends.
    ends: Vec<usize>,
}

impl Args {
    /// None yet, and room for so many, of so many bytes together.
    #[must_use]
    pub fn with_capacity(words: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(words) }
    }

    /// Adds a word.
    pub fn push(&mut self, word: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(word.as_ref());
        self.ends.push(self.bytes.len());
    }

    /// Adds a number, in decimal.
    pub fn push_number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number));
    }

    /// All words.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let word = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            word
        })
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all words together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl<W: AsRef<[u8]>> Extend<W> for Args {
    fn extend<I: IntoIterator<Item = W>>(&mut self, words: I) {
        words.into_iter().for_each(|word| self.push(word));
    }
}

impl<W: AsRef<[u8]>> FromIterator<W> for Args {
    fn from_iter<I: IntoIterator<Item = W>>(words: I) -> Self {
        let mut all = Self::default();
        all.extend(words);
        all
    }
}

impl ToRedisArgs for Args {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        self.iter().for_each(|word| out.write_arg(word));
    }

    fn num_of_args(&self) -> usize {
        self.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_out_as_they_went_in() {
        let mut args: Args = ["a", "", "b c"].into_iter().collect();
        args.push_number(u64::MAX);
        args.push([0, 255]);
        let words: Vec<&[u8]> = args.iter().collect();
        assert_eq!(words, [b"a".as_slice(), b"", b"b c", b"18446744073709551615", &[0, 255]]);
        assert_eq!((args.len(), args.bytes()), (5, 26));
        let mut command = redis::cmd("X");
        command.arg(&args);
        assert_eq!(command.args_iter().count(), 6);
    }
}
