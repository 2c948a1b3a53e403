//! From the bytes of a query to the bytes of its answer. The usual answer, addresses of a known
//! name, is copied together from parts made in advance; all others go through the message builder.

use std::str::FromStr;
use std::sync::LazyLock;

use domain::base::iana::{ExtendedErrorCode, OptRcode, Rcode};
use domain::base::name::Name;
use domain::base::opt::ExtendedError;
use domain::base::{CharStr, Message, MessageBuilder, Serial, Ttl};
use domain::rdata::{Hinfo, Ns, Soa, Txt};

use super::message::{
    CLASS_IN, HEADER, Question, TYPE_A, TYPE_AAAA, TYPE_ANY, TYPE_NS, TYPE_SOA, TYPE_TXT, is_under,
    put_u16, u16_at,
};
use crate::names::{Lookup, NameTable, Records, TTL, ambiguity};

/// The largest UDP answer: what passes every path without fragments.
const UDP_MAX: u16 = 1232;
const UDP_MIN: u16 = 512;
/// The flag that recursion is available: resolvers that ask us expect it of the servers that they
/// are pointed at, and complain about others.
const RECURSION: u8 = 0x80;

/// How the query came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Udp,
    Tcp,
}

/// What to do with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send what is in the buffer.
    Reply,
    /// Say nothing.
    Drop,
    /// Ask an upstream.
    Forward,
}

/// What answers come from.
pub(crate) struct View<'a> {
    pub(crate) table: &'a NameTable,
    pub(crate) zones: &'a [Box<[u8]>],
    pub(crate) forwards: bool,
}

#[derive(Clone, Copy)]
struct Edns {
    size: u16,
    version: u8,
    dnssec: bool,
}

/// Answers `query` into `out`, whose former content is lost.
pub(crate) fn answer(view: &View<'_>, query: &[u8], by: Carrier, out: &mut Vec<u8>) -> Verdict {
    out.clear();
    let Some(&flags) = query.get(2) else { return Verdict::Drop };
    if query.len() < HEADER || flags & 0x80 != 0 {
        return Verdict::Drop;
    }
    if flags & 0x78 != 0 {
        return bare(query, Rcode::NOTIMP, out);
    }
    let Some(question) = Question::read(query) else { return bare(query, Rcode::FORMERR, out) };
    let Ok(edns) = edns(query, &question) else { return bare(query, Rcode::FORMERR, out) };
    let context = Context { query, question: &question, edns, by };
    if edns.is_some_and(|edns| edns.version > 0) {
        return context.plain(OptRcode::BADVERS, out);
    }
    if question.class != CLASS_IN {
        return context.plain(OptRcode::REFUSED, out);
    }
    let name = question.name.as_wire();
    let Some(zone) = view.zones.iter().filter(|zone| is_under(name, zone)).max_by_key(|z| z.len())
    else {
        return if view.forwards {
            Verdict::Forward
        } else {
            context.plain(OptRcode::REFUSED, out)
        };
    };
    view.table.look(name, |found| context.local(view.table, zone, &found, out))
}

/// An answer of a header alone, for what cannot be understood.
fn bare(query: &[u8], rcode: Rcode, out: &mut Vec<u8>) -> Verdict {
    out.extend_from_slice(query.get(..2).unwrap_or_default());
    let kept = query.get(2).copied().unwrap_or_default() & 0x79;
    out.extend_from_slice(&[0x80 | kept, RECURSION | rcode.to_int(), 0, 0, 0, 0, 0, 0, 0, 0]);
    Verdict::Reply
}

/// The answer to a forwarded query that no upstream answered.
pub(crate) fn servfail(query: &[u8], by: Carrier, out: &mut Vec<u8>) {
    out.clear();
    if let Some(question) = Question::read(query) {
        let edns = edns(query, &question).unwrap_or_default();
        let context = Context { query, question: &question, edns, by };
        context.plain(OptRcode::SERVFAIL, out);
    }
}

fn edns(query: &[u8], question: &Question) -> Result<Option<Edns>, ()> {
    if query.len() == question.end && u16_at(query, 6) | u16_at(query, 8) | u16_at(query, 10) == 0 {
        return Ok(None);
    }
    let message = Message::from_slice(query).map_err(drop)?;
    let additional = message.additional().map_err(drop)?;
    let mut found = None;
    for record in additional {
        let record = record.map_err(drop)?;
        if record.rtype() != domain::base::iana::Rtype::OPT {
            continue;
        }
        let opt = domain::base::opt::OptRecord::from_record(
            record.into_record::<domain::base::opt::Opt<_>>().map_err(drop)?.ok_or(())?,
        );
        let edns =
            Edns { size: opt.udp_payload_size(), version: opt.version(), dnssec: opt.dnssec_ok() };
        if found.replace(edns).is_some() {
            return Err(());
        }
    }
    Ok(found)
}

struct Context<'a> {
    query: &'a [u8],
    question: &'a Question,
    edns: Option<Edns>,
    by: Carrier,
}

/// The one record that an answer made by the builder may have.
enum Record<'a> {
    None,
    Soa,
    Ns,
    Minimal,
    Text(&'a str),
}

/// The parts of an answer that the builder makes.
struct Parts<'a> {
    rcode: OptRcode,
    /// The zone it speaks for, in wire form, and the zone's serial number.
    zone: Option<(&'a [u8], u32)>,
    record: Record<'a>,
    note: Option<&'a str>,
}

impl Context<'_> {
    fn plain(&self, rcode: OptRcode, out: &mut Vec<u8>) -> Verdict {
        self.build(out, &Parts { rcode, zone: None, record: Record::None, note: None })
    }

    /// Answers for a name within `zone`.
    fn local(
        &self,
        table: &NameTable,
        zone: &[u8],
        found: &Lookup<'_>,
        out: &mut Vec<u8>,
    ) -> Verdict {
        let apex = self.question.name.as_wire() == zone;
        let zone = Some((zone, table.serial()));
        let kind = self.question.kind;
        let text;
        let (rcode, record, note) = match found {
            _ if apex && kind == TYPE_SOA => (OptRcode::NOERROR, Record::Soa, None),
            _ if apex && kind == TYPE_NS => (OptRcode::NOERROR, Record::Ns, None),
            Lookup::One(claim) if claim.entry.name.unreachable.is_some() => {
                let note = claim.entry.name.unreachable.as_deref();
                (OptRcode::SERVFAIL, Record::None, note)
            }
            Lookup::One(claim) => {
                let records = match kind {
                    TYPE_A => Some(&claim.entry.v4),
                    TYPE_AAAA => Some(&claim.entry.v6),
                    _ => None,
                };
                if let Some(records) = records.filter(|records| records.count > 0) {
                    return self.addresses(records, out);
                }
                let record = if kind == TYPE_ANY { Record::Minimal } else { Record::None };
                (OptRcode::NOERROR, record, None)
            }
            Lookup::Ambiguous(claims) => {
                text = ambiguity(claims);
                if kind == TYPE_TXT {
                    (OptRcode::NOERROR, Record::Text(&text), None)
                } else {
                    (OptRcode::REFUSED, Record::None, Some(text.as_str()))
                }
            }
            _ if apex && kind == TYPE_ANY => (OptRcode::NOERROR, Record::Minimal, None),
            Lookup::Empty => (OptRcode::NOERROR, Record::None, None),
            Lookup::Absent if apex => (OptRcode::NOERROR, Record::None, None),
            Lookup::Absent => (OptRcode::NXDOMAIN, Record::None, None),
        };
        self.build(out, &Parts { rcode, zone, record, note })
    }

    /// How large the answer may be.
    fn limit(&self) -> usize {
        match self.by {
            Carrier::Tcp => usize::from(u16::MAX),
            Carrier::Udp => {
                usize::from(self.edns.map_or(UDP_MIN, |edns| edns.size.clamp(UDP_MIN, UDP_MAX)))
            }
        }
    }

    /// The usual answer: header, the question as it came, records, and EDNS where it was used.
    fn addresses(&self, records: &Records, out: &mut Vec<u8>) -> Verdict {
        let question = self.query.get(HEADER..self.question.end).unwrap_or_default();
        let edns_length = if self.edns.is_some() { 11 } else { 0 };
        let fits = HEADER + question.len() + records.wire.len() + edns_length <= self.limit();
        let asked = self.query.get(2).copied().unwrap_or_default() & 0x01;
        out.extend_from_slice(self.query.get(..2).unwrap_or_default());
        out.extend_from_slice(&[0x84 | asked | if fits { 0 } else { 0x02 }, RECURSION]);
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())]);
        out.extend_from_slice(question);
        if fits {
            put_u16(out, 6, records.count);
            out.extend_from_slice(&records.wire);
        }
        if let Some(edns) = self.edns {
            let [high, low] = UDP_MAX.to_be_bytes();
            out.extend_from_slice(&[0, 0, 41, high, low, 0, 0]);
            out.extend_from_slice(&[if edns.dnssec { 0x80 } else { 0 }, 0, 0, 0]);
        }
        Verdict::Reply
    }

    fn build(&self, out: &mut Vec<u8>, parts: &Parts<'_>) -> Verdict {
        if self.try_build(out, parts).is_err() {
            return bare(self.query, Rcode::SERVFAIL, out);
        }
        Verdict::Reply
    }

    fn try_build(&self, out: &mut Vec<u8>, parts: &Parts<'_>) -> Result<(), Failed> {
        let query = Message::from_slice(self.query).map_err(drop)?;
        let mut builder = MessageBuilder::from_target(std::mem::take(out)).map_err(drop)?;
        builder.set_push_limit(self.limit());
        let mut answer = builder.start_answer(query, parts.rcode.rcode()).map_err(drop)?;
        answer.header_mut().set_aa(parts.zone.is_some());
        answer.header_mut().set_ra(true);
        let qname = Name::from_slice(self.question.name.as_wire()).map_err(drop)?;
        let ttl = Ttl::from_secs(TTL);
        let zone =
            parts.zone.and_then(|(wire, serial)| Some((Name::from_slice(wire).ok()?, serial)));
        let mut negative = false;
        match (&parts.record, zone) {
            (Record::Soa, Some((name, serial))) => {
                answer.push((name, ttl, soa(serial))).map_err(drop)?;
            }
            (Record::Ns, Some((name, _))) => {
                answer.push((name, ttl, Ns::new(&*LOCALHOST))).map_err(drop)?;
            }
            (Record::Minimal, _) => answer.push((qname, ttl, minimal()?)).map_err(drop)?,
            (Record::Text(text), _) => {
                let text = Txt::<Vec<u8>>::build_from_slice(text.as_bytes()).map_err(drop)?;
                answer.push((qname, ttl, text)).map_err(drop)?;
            }
            _ => negative = ![OptRcode::REFUSED, OptRcode::SERVFAIL].contains(&parts.rcode),
        }
        let mut authority = answer.authority();
        if let (true, Some((name, serial))) = (negative, zone) {
            authority.push((name, ttl, soa(serial))).map_err(drop)?;
        }
        let mut additional = authority.additional();
        if let Some(edns) = self.edns {
            additional
                .opt(|opt| {
                    opt.set_udp_payload_size(UDP_MAX);
                    opt.set_rcode(parts.rcode);
                    opt.set_dnssec_ok(edns.dnssec);
                    match parts.note.and_then(|note| extended(parts.rcode, note)) {
                        Some(error) => opt.push(&error),
                        None => Ok(()),
                    }
                })
                .map_err(drop)?;
        }
        *out = additional.finish();
        Ok(())
    }
}

/// The answer does not fit or the query is not sound; the caller answers SERVFAIL.
type Failed = ();

static LOCALHOST: LazyLock<Name<Vec<u8>>> = LazyLock::new(|| named("localhost"));
static NOBODY: LazyLock<Name<Vec<u8>>> = LazyLock::new(|| named("nobody.invalid"));

fn named(text: &str) -> Name<Vec<u8>> {
    Name::from_str(text).unwrap_or_else(|_| Name::root_vec())
}

fn soa(serial: u32) -> Soa<&'static Name<Vec<u8>>> {
    let second = Ttl::from_secs(TTL);
    Soa::new(&*LOCALHOST, &*NOBODY, Serial(serial), second, second, second, second)
}

/// The short answer to ANY of RFC 8482.
fn minimal() -> Result<Hinfo<&'static [u8]>, Failed> {
    let text = |text: &'static str| CharStr::from_octets(text.as_bytes()).map_err(drop);
    Ok(Hinfo::new(text("RFC8482")?, text("")?))
}

fn extended(rcode: OptRcode, text: &str) -> Option<ExtendedError<Vec<u8>>> {
    let code = match rcode {
        OptRcode::SERVFAIL => ExtendedErrorCode::NETWORK_ERROR,
        _ => ExtendedErrorCode::PROHIBITED,
    };
    ExtendedError::new_with_str(code, text).ok()
}
