//! Small pictures of photos: a slow line brings them first, and a page shows them at once.

use std::io::Cursor;
use std::sync::Mutex;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder as _, ImageReader, Limits};
use taizhang_core::record::attachment::Media;

/// Pixels of a small picture's longer side.
const SIDE: u32 = 240;
/// JPEG quality: some 8 KB a picture.
const QUALITY: u8 = 70;
/// Bytes below which a photo is its own small picture.
const SMALL_BYTES: usize = 24 * 1024;
/// Bytes that decoding may take: a photo of 20 megapixels, on a PC of 1 GiB.
const DECODED_BYTES_MAX: u64 = 96 * 1024 * 1024;

static TURN: Mutex<()> = Mutex::new(());

/// A smaller picture; none for what is small, is no picture, or cannot be read as one: the original is
/// kept all the same.
pub(crate) fn thumbnail(bytes: &[u8], media: Media) -> Option<Vec<u8>> {
    if bytes.len() <= SMALL_BYTES || media == Media::Pdf {
        return None;
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    if decoder.total_bytes() > DECODED_BYTES_MAX {
        return None;
    }
    // One at a time: a PC of 1 GiB has no room for several.
    let _turn = TURN.lock().ok()?;
    let turned = decoder.orientation().ok()?;
    let mut small = DynamicImage::from_decoder(decoder).ok()?.thumbnail(SIDE, SIDE);
    small.apply_orientation(turned);
    let mut out = Vec::new();
    small.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut out, QUALITY)).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_becomes_small_and_garbage_none() {
        let photo = image::RgbImage::from_fn(1200, 800, |x, y| {
            image::Rgb([(x * y % 251) as u8, (x % 241) as u8, (y % 239) as u8])
        });
        let mut bytes = Vec::new();
        photo.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 90)).unwrap();
        assert_eq!(Media::of(&bytes), Some(Media::Jpeg));
        let small = thumbnail(&bytes, Media::Jpeg).unwrap();
        assert!(small.len() < bytes.len() / 4, "{} of {}", small.len(), bytes.len());
        let read = image::load_from_memory(&small).unwrap();
        assert_eq!((read.width(), read.height()), (240, 160));
        bytes.truncate(40_000);
        bytes[600..].fill(7);
        // Half a photo, or none: whatever it is, no panic.
        drop(thumbnail(&bytes, Media::Jpeg));
        assert_eq!(thumbnail(&[0xff; 50_000], Media::Jpeg), None);
    }

    #[test]
    fn a_picture_that_unpacks_to_gigabytes_is_left_alone() {
        let plain = image::RgbImage::from_pixel(64, 64, image::Rgb([9, 9, 9]));
        let mut bytes = Vec::new();
        plain.write_with_encoder(JpegEncoder::new(&mut bytes)).unwrap();
        // Height and width of its frame, as large as a JPEG can state.
        let frame = bytes.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        bytes[frame + 5..frame + 9].fill(0xff);
        bytes.resize(50_000, 0);
        assert_eq!(thumbnail(&bytes, Media::Jpeg), None);
    }
}
