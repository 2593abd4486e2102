//! Between admissions and the message that carries them, over the wire or in a file.

use prost::Message as _;
use taizhang_core::feed::segment::Sealed;
use taizhang_proto::enrol::{AuthorChain, EnrolReply, SealedSegment};

use crate::engine::admit::Admission;
use crate::identity::chain::RootOfTrust;
use crate::identity::found::Certificates;

/// An admission as bytes, for a file.
pub fn admission_to_bytes(admission: Admission) -> Vec<u8> {
    to_reply(admission).encode_to_vec()
}

/// The admission in such bytes; none if they are malformed.
pub fn admission_from_bytes(bytes: &[u8]) -> Option<Admission> {
    EnrolReply::decode(bytes).ok().and_then(from_reply).map(|(_, admission)| admission)
}

/// An admission as the message that carries it.
pub fn to_reply(admission: Admission) -> EnrolReply {
    let segments = admission.segments.into_iter();
    let chains = admission.chains.into_iter();
    EnrolReply {
        chain: admission.certificates.chain,
        root: admission.root,
        ca_chain: admission.certificates.ca_chain,
        segments: segments
            .map(|one| SealedSegment { plain: one.plain, seal: one.seal.to_vec() })
            .collect(),
        chains: chains.map(|certificates| AuthorChain { certificates }).collect(),
    }
}

/// The admission in a message; none if a seal has another size.
pub fn from_reply(reply: EnrolReply) -> Option<(RootOfTrust, Admission)> {
    let segments = reply
        .segments
        .into_iter()
        .map(|one| Some(Sealed { plain: one.plain, seal: one.seal.try_into().ok()? }));
    let admission = Admission {
        certificates: Certificates { chain: reply.chain, ca_chain: reply.ca_chain },
        root: reply.root.clone(),
        segments: segments.collect::<Option<_>>()?,
        chains: reply.chains.into_iter().map(|one| one.certificates).collect(),
    };
    Some((RootOfTrust::new(reply.root), admission))
}
