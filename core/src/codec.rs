//! Canonical bytes: what is sealed and hashed is written here, by us, never by protobuf.
//!
//! One value has one encoding: integers are LEB128 in their shortest form, sequences carry their
//! length first, nothing is optional. A reader refuses what the writer would not have written.

/// Bytes that are not a canonical encoding of what was expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end before the value does.
    #[error("bytes end early")]
    Short,
    /// An integer is not in its shortest form, or too large.
    #[error("integer is not canonical")]
    Integer,
    /// A length is above its limit.
    #[error("length {found} is above the limit of {limit}")]
    Length {
        /// What the bytes claim.
        found: u64,
        /// What is allowed.
        limit: usize,
    },
    /// Text is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// A tag has no meaning in this version.
    #[error("unknown tag {0}")]
    Tag(u64),
    /// Bytes remain after the value.
    #[error("{0} bytes remain after the value")]
    Rest(usize),
}

/// Appends canonical encodings to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    /// What has been written.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes bytes whose length the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes one byte.
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Writes an unsigned integer, shortest LEB128.
    pub fn uint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(low_seven(value) | 0x80);
            value >>= 7;
        }
        self.bytes.push(low_seven(value));
    }

    /// Writes a signed integer, zigzag.
    pub fn int(&mut self, value: i64) {
        self.uint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// Writes a count or length.
    pub fn len(&mut self, len: usize) {
        self.uint(len as u64);
    }

    /// Writes length and bytes.
    pub fn blob(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.raw(bytes);
    }

    /// Writes length and UTF-8.
    pub fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }
}

/// The lowest seven bits.
fn low_seven(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// Reads canonical encodings from a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes exactly `len` bytes.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CodecError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        self.raw(N)?.try_into().map_err(|_| CodecError::Short)
    }

    /// Takes one byte.
    pub fn byte(&mut self) -> Result<u8, CodecError> {
        Ok(self.raw(1)?[0])
    }

    /// Takes an unsigned integer.
    pub fn uint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(CodecError::Integer);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(CodecError::Integer) } else { Ok(value) };
            }
        }
        Err(CodecError::Integer)
    }

    /// Takes a signed integer.
    pub fn int(&mut self) -> Result<i64, CodecError> {
        let value = self.uint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Takes a count or length that may not exceed `limit`.
    pub fn len(&mut self, limit: usize) -> Result<usize, CodecError> {
        let found = self.uint()?;
        usize::try_from(found)
            .ok()
            .filter(|len| *len <= limit)
            .ok_or(CodecError::Length { found, limit })
    }

    /// Takes length and bytes.
    pub fn blob(&mut self, limit: usize) -> Result<&'a [u8], CodecError> {
        let len = self.len(limit)?;
        self.raw(len)
    }

    /// Takes length and UTF-8.
    pub fn text(&mut self, limit: usize) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.blob(limit)?).map_err(|_| CodecError::Text)
    }

    /// Refuses bytes that remain.
    pub fn finish(&self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::Rest(self.rest.len())) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_are_read_back(unsigned: u64, signed: i64) {
            let mut writer = Writer::new();
            writer.uint(unsigned);
            writer.int(signed);
            let mut reader = Reader::new(&writer.bytes);
            prop_assert_eq!(reader.uint(), Ok(unsigned));
            prop_assert_eq!(reader.int(), Ok(signed));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn random_bytes_are_refused_or_canonical(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.uint() {
                let mut writer = Writer::new();
                writer.uint(value);
                prop_assert_eq!(&writer.bytes[..], &bytes[..bytes.len() - reader.remaining()]);
            }
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_it_is_read() {
        let mut writer = Writer::new();
        writer.uint(u64::MAX);
        assert!(matches!(Reader::new(&writer.bytes).blob(10), Err(CodecError::Length { .. })));
    }
}
