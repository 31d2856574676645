//! Tests of the limits on connections.

use super::*;

const LIMIT: ConnectionLimit =
    ConnectionLimit { total: 100, per_address: 20, handshakes_per_address: 10 };
const CONNECTION: ConnectionRefusal = ConnectionRefusal::Connections;
const OF_ADDRESS: ConnectionRefusal = ConnectionRefusal::ConnectionsOfAddress;

fn limiter(limit: ConnectionLimit) -> Arc<ConnectionLimiter> {
    ConnectionLimiter::new(limit, ConnectionMetrics::default())
}

fn address(number: u8) -> IpAddr {
    [192, 0, 2, number].into()
}

/// Opens connections until one is refused.
fn open_all(
    limiter: &Arc<ConnectionLimiter>,
    from: IpAddr,
) -> (Vec<ConnectionPermit>, ConnectionRefusal) {
    let mut open = Vec::new();
    loop {
        match limiter.admit(from, Instant::now()) {
            Ok(permit) => open.push(permit),
            Err(why) => return (open, why),
        }
    }
}

#[test]
fn an_address_has_a_limit_of_its_own() {
    let limiter = limiter(LIMIT);
    let (mut open, why) = open_all(&limiter, address(1));
    assert_eq!((open.len(), why), (20, OF_ADDRESS));
    assert_eq!(open_all(&limiter, address(2)).0.len(), 16, "a quarter of the free ones");
    open.pop();
    assert_eq!(open_all(&limiter, address(1)).0.len(), 1);
}

#[test]
fn ipv6_addresses_of_a_prefix_share_a_limit() {
    let limiter = limiter(LIMIT);
    let from = |text: &str| text.parse::<IpAddr>().unwrap();
    let (_open, _) = open_all(&limiter, from("2001:db8::1"));
    assert_eq!(open_all(&limiter, from("2001:db8::2")).0.len(), 0);
    assert_eq!(open_all(&limiter, from("2001:db8:0:1::1")).0.len(), 16);
}

#[test]
fn a_new_address_finds_room_beside_many_others() {
    let limiter = limiter(LIMIT);
    let held: Vec<_> = (1..=10).map(|n| open_all(&limiter, address(n))).collect();
    let sizes: Vec<_> = held.iter().map(|(open, _)| open.len()).collect();
    assert_eq!(sizes[..3], [20, 16, 13]);
    assert!(sizes.is_sorted_by(|one, next| one >= next && *next > 0), "{sizes:?}");
    assert_eq!(held[1].1, CONNECTION);
    let (open, why) = open_all(&limiter, address(200));
    assert!(!open.is_empty());
    assert_eq!(why, CONNECTION);
    drop((held, open));
    assert_eq!(limiter.state.lock().connections, 0);
    assert!(limiter.state.lock().sources.is_empty());
    assert_eq!(limiter.metrics.open().get(), 0);
}

#[test]
fn the_total_is_never_exceeded() {
    let limiter = limiter(LIMIT);
    let held: Vec<_> =
        (0..=255).filter_map(|n| limiter.admit(address(n), Instant::now()).ok()).collect();
    assert_eq!(held.len(), 100);
    assert_eq!(limiter.admit(address(0), Instant::now()).err(), Some(CONNECTION));
}

#[test]
fn a_front_proxy_is_exempt_from_its_first_handshake_on() {
    let limiter = limiter(LIMIT);
    let now = Instant::now();
    let mut first = limiter.admit(address(1), now).unwrap();
    assert!(!first.is_exempt() && first.usage().is_some());
    first.classify(ClientClass::FrontProxy, now).unwrap();
    assert!(first.is_exempt() && first.usage().is_none());
    assert_eq!(limiter.state.lock().connections, 0);
    // Other clients take all connections.
    let _held: Vec<_> = (2..=255).map(|n| open_all(&limiter, address(n)).0).collect();
    assert_eq!(limiter.admit(address(0), now).err(), Some(CONNECTION));
    drop(first);
    let mut second = limiter.admit(address(1), now).unwrap();
    assert!(second.is_exempt());
    second.classify(ClientClass::FrontProxy, now).unwrap();
    // Another client at the same address counts once it is known.
    let mut third = limiter.admit(address(1), now).unwrap();
    assert_eq!(third.classify(ClientClass::Unverified, now), Err(CONNECTION));
}

#[test]
fn a_client_at_the_address_of_a_proxy_counts_later() {
    let limiter = limiter(LIMIT);
    let now = Instant::now();
    let mut proxy = limiter.admit(address(1), now).unwrap();
    proxy.classify(ClientClass::FrontProxy, now).unwrap();
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut permit = limiter.admit(address(1), now).unwrap();
        permit.classify(ClientClass::User, now).unwrap();
        assert!(permit.usage().is_some());
        held.push(permit);
    }
    let mut permit = limiter.admit(address(1), now).unwrap();
    assert_eq!(permit.classify(ClientClass::Unverified, now), Err(OF_ADDRESS));
    drop(permit);
    assert_eq!(limiter.state.lock().connections, 20);
}

#[test]
fn handshakes_of_an_address_count_beyond_its_connections() {
    let limiter = limiter(LIMIT);
    let now = Instant::now();
    let book = |from: IpAddr| {
        let permit = limiter.admit(from, now).unwrap();
        permit.book_handshake(Duration::ZERO, now)
    };
    let passed = (0..100).take_while(|_| book(address(1)).is_ok()).count();
    assert_eq!(passed, 20, "two seconds of the rate");
    assert_eq!(book(address(1)), Err(ConnectionRefusal::Handshakes));
    assert_eq!(book(address(2)), Ok(Duration::ZERO));
}

#[test]
fn sources_without_connections_are_forgotten() {
    let limiter = limiter(ConnectionLimit { total: 10, ..LIMIT });
    let now = Instant::now();
    for number in 0..=255 {
        let permit = limiter.admit(address(number), now).unwrap();
        permit.book_handshake(Duration::ZERO, now).unwrap();
    }
    let state = limiter.state.lock();
    assert!(state.sources.len() <= 12, "{}", state.sources.len());
    assert_eq!(state.sources.len(), state.idle.len());
}
