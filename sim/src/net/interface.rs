//! The network as an iroh transport: what is above it is the production stack.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use iroh::TransportAddr;
use iroh::endpoint::transports::{CustomEndpoint, CustomSender, CustomTransport, RecvInfo, Transmit};
use iroh_base::CustomAddr;
use peat_node::mesh::AddressResolver;
use peat_scenarios::plan::NodeIndex;

use super::{Flight, Inbox, LifeKey, Net};

/// Number of this transport among iroh's custom transports: "peatsim".
const TRANSPORT_ID: u64 = u64::from_be_bytes(*b"\0peatsim");
/// Addresses read `sim:<node index + 1>`, which has the shape of `host:port`, and port 0 is none.
const SCHEME: &str = "sim";

/// The address of a host. It stays the same over all its lives, as a machine's does.
pub(crate) fn custom_address(host: NodeIndex) -> CustomAddr {
    CustomAddr::from_parts(TRANSPORT_ID, &host.0.to_be_bytes())
}

/// The address of a host as an operator would write it.
pub(crate) fn address_text(host: NodeIndex) -> String {
    format!("{SCHEME}:{}", u64::from(host.0) + 1)
}

fn host_of(address: &CustomAddr) -> io::Result<NodeIndex> {
    let bytes = <[u8; 4]>::try_from(address.data())
        .map_err(|_| io::Error::other(format!("{address:?} is not an address of the simulated network")))?;
    Ok(NodeIndex(u32::from_be_bytes(bytes)))
}

/// Understands what [`address_text`] writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SimResolver;

impl AddressResolver for SimResolver {
    fn resolve<'a>(
        &'a self,
        address: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<TransportAddr>, String>> + Send + 'a>> {
        Box::pin(async move {
            let index = address.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix(':'));
            let host = index.and_then(|index| index.parse::<u32>().ok()?.checked_sub(1)).map(NodeIndex);
            let host = host.ok_or_else(|| format!("{address:?} is not an address of the simulated network"))?;
            Ok(vec![TransportAddr::Custom(custom_address(host))])
        })
    }

    fn text(&self, address: &TransportAddr) -> Option<String> {
        match address {
            TransportAddr::Custom(address) => host_of(address).ok().map(address_text),
            _ => None,
        }
    }
}

/// What keeps datagrams from the moment they were sent to the moment they arrive, and then lets them
/// [`Net::land`].
pub(crate) trait Carrier: std::fmt::Debug + Send + Sync {
    /// Takes one over.
    fn carry(&self, flight: Flight);
}

/// The network interface of one life of one host.
#[derive(Debug, Clone)]
struct Interface {
    net: Net,
    carrier: Arc<dyn Carrier>,
    me: LifeKey,
    addresses: n0_watcher::Watchable<Vec<CustomAddr>>,
}

impl Net {
    /// The transport to bind the endpoint of a life to. It is dark until [`Net::activate`].
    pub(crate) fn transport(&self, host: NodeIndex, life: u32, carrier: Arc<dyn Carrier>) -> Arc<dyn CustomTransport> {
        let me = LifeKey { host, life };
        let mut state = self.lock();
        state.inboxes.insert(me, Inbox::default());
        state.carriers.insert(me, carrier.clone());
        drop(state);
        let addresses = n0_watcher::Watchable::new(vec![custom_address(host)]);
        Arc::new(Interface { net: self.clone(), carrier, me, addresses })
    }
}

impl CustomTransport for Interface {
    fn bind(&self) -> io::Result<Box<dyn CustomEndpoint>> {
        Ok(Box::new(self.clone()))
    }
}

impl CustomEndpoint for Interface {
    fn watch_local_addrs(&self) -> n0_watcher::Direct<Vec<CustomAddr>> {
        self.addresses.watch()
    }

    fn create_sender(&self) -> Arc<dyn CustomSender> {
        Arc::new(self.clone())
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context,
        buffers: &mut [io::IoSliceMut<'_>],
        metas: &mut [noq_udp::RecvMeta],
        infos: &mut [RecvInfo],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.lock();
        let paused = state.paused.contains_key(&self.me.host) && state.active.get(&self.me.host) == Some(&self.me.life);
        // A crashed life has no inbox any more and waits for ever.
        let Some(inbox) = state.inboxes.get_mut(&self.me) else { return Poll::Pending };
        let mut filled = 0;
        while filled < buffers.len() && !paused {
            let Some((from, payload)) = inbox.waiting.pop_front() else { break };
            let Some(room) = buffers[filled].get_mut(..payload.len()) else { continue };
            room.copy_from_slice(&payload);
            metas[filled].len = payload.len();
            metas[filled].stride = payload.len();
            infos[filled] = RecvInfo::new(custom_address(from), Some(custom_address(self.me.host)));
            filled += 1;
        }
        if filled > 0 {
            return Poll::Ready(Ok(filled));
        }
        inbox.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl CustomSender for Interface {
    fn is_valid_send_addr(&self, address: &CustomAddr) -> bool {
        address.id() == TRANSPORT_ID
    }

    fn poll_send(
        &self,
        _cx: &mut Context,
        to: &CustomAddr,
        _from: Option<&CustomAddr>,
        transmit: &Transmit<'_>,
    ) -> Poll<io::Result<()>> {
        let to = host_of(to)?;
        // A batch of equal segments is that many datagrams.
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(segment) {
            for flight in self.net.offer(self.me, to, datagram).into_iter().flatten() {
                self.carrier.carry(flight);
            }
        }
        Poll::Ready(Ok(()))
    }
}
