//! The block code and those of other crates behind one face. Each is used as its interface allows at best:
//! what can be made once is made once, and buffers are used again where they can be.

use std::hint::black_box;

use framehawk_sim::fec::cauchy::Cauchy;
use framehawk_sim::fec::gf256::Kernel;
use raptorq::{
    EncodingPacket, ObjectTransmissionInformation, PayloadId, SourceBlockDecoder, SourceBlockEncoder,
};
use reed_solomon_erasure::galois_8;

/// Bytes of a packet.
pub(crate) const PACKET: usize = 1_200;

/// A code over blocks that it was told beforehand.
pub(crate) trait Codec {
    /// Computes the repair packets of a block.
    fn encode(&mut self, block: usize);

    /// Computes these source packets of a block from the others and as many repair packets, and leaves them
    /// where [`Codec::recovered`] finds them. False where the code cannot.
    fn decode(&mut self, block: usize, lost: &[usize]) -> bool;

    /// What [`Codec::decode`] made of a source packet.
    fn recovered(&self, block: usize, lost: &[usize], index: usize) -> &[u8];
}

/// Ours: sources and outputs are slices, outputs are written over.
pub(crate) struct Own<'a> {
    code: Cauchy,
    blocks: &'a [Vec<Vec<u8>>],
    repairs: Vec<Vec<Vec<u8>>>,
    outputs: Vec<Vec<u8>>,
    recovered: Vec<Vec<u8>>,
}

impl<'a> Own<'a> {
    pub(crate) fn new(blocks: &'a [Vec<Vec<u8>>], repair: usize, kernel: Kernel) -> Self {
        let code = Cauchy::new(blocks[0].len() as u32, repair as u32).expect("a block").with_kernel(kernel);
        let repairs = blocks.iter().map(|block| {
            let mut repairs = vec![vec![0; PACKET]; repair];
            code.encode(&slices(block), &mut repairs);
            repairs
        });
        let repairs = repairs.collect();
        let recovered = vec![vec![0; PACKET]; repair.min(blocks[0].len())];
        Self { code, blocks, repairs, outputs: vec![vec![0; PACKET]; repair], recovered }
    }
}

impl Codec for Own<'_> {
    fn encode(&mut self, block: usize) {
        self.code.encode(&slices(&self.blocks[block]), &mut self.outputs);
        black_box(&mut self.outputs);
    }

    fn decode(&mut self, block: usize, lost: &[usize]) -> bool {
        let mut arrived: Vec<Option<&[u8]>> =
            self.blocks[block].iter().map(|source| Some(&source[..])).collect();
        lost.iter().for_each(|&index| arrived[index] = None);
        let repairs: Vec<(usize, &[u8])> =
            self.repairs[block].iter().map(|repair| &repair[..]).enumerate().collect();
        let done = self.code.recover(&arrived, &repairs, &mut self.recovered);
        black_box(&mut self.recovered);
        done.is_ok()
    }

    fn recovered(&self, _block: usize, _lost: &[usize], index: usize) -> &[u8] {
        &self.recovered[index]
    }
}

fn slices(block: &[Vec<u8>]) -> Vec<&[u8]> {
    block.iter().map(|source| &source[..]).collect()
}

/// `reed-solomon-erasure` with its C kernel: made once, repair packets are written over, and packets that are
/// missing are recovered in place.
pub(crate) struct Erasure<'a> {
    code: galois_8::ReedSolomon,
    blocks: &'a [Vec<Vec<u8>>],
    shards: Vec<Vec<(Vec<u8>, bool)>>,
    outputs: Vec<Vec<u8>>,
}

impl<'a> Erasure<'a> {
    pub(crate) fn new(blocks: &'a [Vec<Vec<u8>>], repair: usize) -> Self {
        let code = galois_8::ReedSolomon::new(blocks[0].len(), repair).expect("a block");
        let mut outputs = vec![vec![0; PACKET]; repair];
        let shards = blocks.iter().map(|block| {
            code.encode_sep(block, &mut outputs).expect("a block");
            block.iter().chain(&outputs).map(|shard| (shard.clone(), true)).collect()
        });
        let shards = shards.collect();
        Self { code, blocks, shards, outputs }
    }
}

impl Codec for Erasure<'_> {
    fn encode(&mut self, block: usize) {
        self.code.encode_sep(&self.blocks[block], &mut self.outputs).expect("a block");
        black_box(&mut self.outputs);
    }

    fn decode(&mut self, block: usize, lost: &[usize]) -> bool {
        let shards = &mut self.shards[block];
        lost.iter().for_each(|&index| shards[index].1 = false);
        let done = self.code.reconstruct_data(shards).is_ok();
        lost.iter().for_each(|&index| shards[index].1 = true);
        black_box(shards);
        done
    }

    fn recovered(&self, block: usize, lost: &[usize], index: usize) -> &[u8] {
        &self.shards[block][lost[index]].0
    }
}

/// `fec-rs`: made once, repair packets are written over; what is recovered is allocated anew.
pub(crate) struct FecRs<'a> {
    code: fec_rs::ReedSolomon,
    blocks: &'a [Vec<Vec<u8>>],
    shards: Vec<Vec<Option<Vec<u8>>>>,
    outputs: Vec<Vec<u8>>,
}

impl<'a> FecRs<'a> {
    pub(crate) fn new(blocks: &'a [Vec<Vec<u8>>], repair: usize) -> Self {
        let code = fec_rs::ReedSolomon::new(blocks[0].len(), repair).expect("a block");
        let mut outputs = vec![vec![0; PACKET]; repair];
        let shards = blocks.iter().map(|block| {
            code.encode_sep(block, &mut outputs).expect("a block");
            block.iter().chain(&outputs).cloned().map(Some).collect()
        });
        let shards = shards.collect();
        Self { code, blocks, shards, outputs }
    }
}

impl Codec for FecRs<'_> {
    fn encode(&mut self, block: usize) {
        self.code.encode_sep(&self.blocks[block], &mut self.outputs).expect("a block");
        black_box(&mut self.outputs);
    }

    fn decode(&mut self, block: usize, lost: &[usize]) -> bool {
        let shards = &mut self.shards[block];
        lost.iter().for_each(|&index| shards[index] = None);
        let done = self.code.reconstruct_data(shards).is_ok();
        black_box(shards);
        done
    }

    fn recovered(&self, block: usize, lost: &[usize], index: usize) -> &[u8] {
        self.shards[block][lost[index]].as_deref().unwrap_or_default()
    }
}

/// `reed-solomon-simd`: both halves made once; packets are copied in, and what comes out is borrowed.
pub(crate) struct Simd<'a> {
    encoder: reed_solomon_simd::ReedSolomonEncoder,
    decoder: reed_solomon_simd::ReedSolomonDecoder,
    blocks: &'a [Vec<Vec<u8>>],
    repairs: Vec<Vec<Vec<u8>>>,
    recovered: Vec<Vec<u8>>,
}

impl<'a> Simd<'a> {
    pub(crate) fn new(blocks: &'a [Vec<Vec<u8>>], repair: usize) -> Self {
        let source = blocks[0].len();
        let repairs = blocks.iter().map(|block| reed_solomon_simd::encode(source, repair, block));
        Self {
            encoder: reed_solomon_simd::ReedSolomonEncoder::new(source, repair, PACKET).expect("a block"),
            decoder: reed_solomon_simd::ReedSolomonDecoder::new(source, repair, PACKET).expect("a block"),
            blocks,
            repairs: repairs.map(|repairs| repairs.expect("a block")).collect(),
            recovered: vec![Vec::new(); repair.min(source)],
        }
    }
}

impl Codec for Simd<'_> {
    fn encode(&mut self, block: usize) {
        for source in &self.blocks[block] {
            self.encoder.add_original_shard(source).expect("a block");
        }
        let repairs = self.encoder.encode().expect("a block");
        repairs.recovery_iter().for_each(|repair| {
            black_box(repair);
        });
    }

    fn decode(&mut self, block: usize, lost: &[usize]) -> bool {
        for (index, source) in self.blocks[block].iter().enumerate() {
            if !lost.contains(&index) {
                self.decoder.add_original_shard(index, source).expect("a block");
            }
        }
        for (row, repair) in self.repairs[block].iter().enumerate().take(lost.len()) {
            self.decoder.add_recovery_shard(row, repair).expect("a block");
        }
        let Ok(restored) = self.decoder.decode() else { return false };
        for ((_, contents), recovered) in restored.restored_original_iter().zip(&mut self.recovered) {
            recovered.clear();
            recovered.extend_from_slice(contents);
        }
        true
    }

    fn recovered(&self, _block: usize, _lost: &[usize], index: usize) -> &[u8] {
        &self.recovered[index]
    }
}

/// `raptorq`: it keeps its plan of encoding for a size itself; packets are its own and used up.
pub(crate) struct RaptorQ<'a> {
    config: ObjectTransmissionInformation,
    blocks: &'a [Vec<Vec<u8>>],
    repairs: Vec<Vec<EncodingPacket>>,
    joined: Vec<Vec<u8>>,
    recovered: Vec<u8>,
}

impl<'a> RaptorQ<'a> {
    pub(crate) fn new(blocks: &'a [Vec<Vec<u8>>], repair: usize) -> Self {
        let length = blocks[0].len() * PACKET;
        let config = ObjectTransmissionInformation::new(length as u64, PACKET as u16, 1, 1, 8);
        let joined: Vec<Vec<u8>> = blocks.iter().map(|block| block.concat()).collect();
        let repairs = joined
            .iter()
            .map(|block| SourceBlockEncoder::new(0, &config, block).repair_packets(0, repair as u32))
            .collect();
        Self { config, blocks, repairs, joined, recovered: Vec::new() }
    }
}

impl Codec for RaptorQ<'_> {
    fn encode(&mut self, block: usize) {
        let encoder = SourceBlockEncoder::new(0, &self.config, &self.joined[block]);
        black_box(encoder.repair_packets(0, self.repairs[block].len() as u32));
    }

    fn decode(&mut self, block: usize, lost: &[usize]) -> bool {
        let mut decoder = SourceBlockDecoder::new(0, &self.config, self.joined[block].len() as u64);
        let sources = self.blocks[block].iter().enumerate().filter(|(index, _)| !lost.contains(index));
        let sources =
            sources.map(|(esi, source)| EncodingPacket::new(PayloadId::new(0, esi as u32), source.clone()));
        let repairs = self.repairs[block].iter().take(lost.len()).cloned();
        self.recovered = decoder.decode(sources.chain(repairs)).unwrap_or_default();
        !self.recovered.is_empty()
    }

    fn recovered(&self, _block: usize, lost: &[usize], index: usize) -> &[u8] {
        &self.recovered[lost[index] * PACKET..][..PACKET]
    }
}
