//! How a record names a photo or scan: one member of a set, so that attachments added apart all stay.
//!
//! `HASH.BYTES.TYPE.THUMB.THUMB_BYTES.NAME`, where THUMB is a smaller picture of it or `-`. The bytes
//! themselves are blobs (DESIGN §4): named here, held beside the ledger, moved outside feeds.

use crate::id::{Hash, hex, unhex};
use crate::limits;

/// What an attachment is; nothing else is taken in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Media {
    /// Figures and frontiers of reports, written by the program; people cannot add such files.
    Data,
    /// A photo.
    Jpeg,
    /// A document.
    Pdf,
    /// A drawing or screen shot.
    Png,
}

impl Media {
    /// The word in a member's text.
    pub fn word(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Jpeg => "jpg",
            Self::Pdf => "pdf",
            Self::Png => "png",
        }
    }

    /// The type that a browser is told.
    pub fn mime(self) -> &'static str {
        match self {
            Self::Data => "application/octet-stream",
            Self::Jpeg => "image/jpeg",
            Self::Pdf => "application/pdf",
            Self::Png => "image/png",
        }
    }

    /// What bytes are, by how they begin, whatever their name says.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some(Self::Png),
            [b'%', b'P', b'D', b'F', b'-', ..] => Some(Self::Pdf),
            _ => None,
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Data, Self::Jpeg, Self::Pdf, Self::Png]
            .into_iter()
            .find(|media| media.word() == word)
    }
}

/// Bytes by their content.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct BlobRef {
    /// BLAKE3 of the bytes.
    pub hash: Hash,
    /// How many.
    pub bytes: u64,
}

impl BlobRef {
    /// Names `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: Hash(*blake3::hash(bytes).as_bytes()), bytes: bytes.len() as u64 }
    }
}

/// One attachment of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attachment {
    /// The bytes.
    pub blob: BlobRef,
    /// What they are.
    pub media: Media,
    /// A smaller picture of it.
    pub thumb: Option<BlobRef>,
    /// The name that a person gave the file.
    pub name: String,
}

impl Attachment {
    /// The member's text; the name is cut to what a key of a record may hold.
    pub fn member(&self) -> String {
        let plain = |c: char| if c.is_control() || c == '/' { '_' } else { c };
        let mut name = String::new();
        for c in self.name.chars().map(plain) {
            if name.len() + c.len_utf8() > limits::ATTACHMENT_NAME_BYTES_MAX {
                break;
            }
            name.push(c);
        }
        let thumb = self.thumb.map_or_else(
            || "-.0".to_owned(),
            |thumb| format!("{}.{}", hex(&thumb.hash.0), thumb.bytes),
        );
        let blob = format!("{}.{}", hex(&self.blob.hash.0), self.blob.bytes);
        format!("{blob}.{}.{thumb}.{name}", self.media.word())
    }

    /// Reads a member; `None` for what is no attachment.
    pub fn parse(member: &str) -> Option<Self> {
        let mut parts = member.splitn(6, '.');
        let blob = blob_ref(parts.next()?, parts.next()?)?;
        let media = Media::parse(parts.next()?)?;
        let (hash, bytes) = (parts.next()?, parts.next()?);
        let thumb = if hash == "-" { None } else { Some(blob_ref(hash, bytes)?) };
        Some(Self { blob, media, thumb, name: parts.next()?.to_owned() })
    }

    /// The blobs it names, the smaller first.
    pub fn blobs(&self) -> impl Iterator<Item = BlobRef> {
        self.thumb.into_iter().chain([self.blob])
    }
}

fn blob_ref(hash: &str, bytes: &str) -> Option<BlobRef> {
    let hash = Hash(unhex(hash)?.try_into().ok()?);
    let bytes: u64 = bytes.parse().ok()?;
    (1..=limits::BLOB_BYTES_MAX).contains(&bytes).then_some(BlobRef { hash, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_back_and_its_key_stays_short() {
        let thumb = Some(BlobRef::of(b"small"));
        let name = "改前照片".repeat(40) + "/x.jpg";
        let one = Attachment { blob: BlobRef::of(b"large"), media: Media::Jpeg, thumb, name };
        let member = one.member();
        assert!(member.len() + 1 + 40 <= limits::KEY_BYTES_MAX, "{}", member.len());
        let back = Attachment::parse(&member).unwrap();
        assert_eq!((back.blob, back.thumb, back.media), (one.blob, one.thumb, one.media));
        assert!(one.name.starts_with(&back.name));
        let plain = Attachment { thumb: None, name: "a.b.pdf".into(), media: Media::Pdf, ..one };
        assert_eq!(Attachment::parse(&plain.member()), Some(plain));
    }

    #[test]
    fn what_is_no_attachment_is_none() {
        let hash = hex(&[7; 32]);
        for wrong in [
            String::new(),
            "photo.jpg".into(),
            format!("{hash}.0.jpg.-.0.x"),
            format!("{hash}.99999999999.jpg.-.0.x"),
            format!("{hash}.5.exe.-.0.x"),
            format!("{hash}.5.jpg.-.0"),
            format!("{}.5.jpg.-.0.x", &hash[2..]),
        ] {
            assert_eq!(Attachment::parse(&wrong), None, "{wrong}");
        }
    }
}
