"""The text that goes to the kernel, as it is."""
# ruff: noqa: E501 - a command is a line

from ipaddress import IPv4Address, IPv4Network

from inline_snapshot import snapshot

from fogbank.dataplane.linux.firewall import first_packet_rules, nftables, policy_chains
from fogbank.network.topology import (
    AddressSetMember,
    DeviceName,
    FirewallPolicy,
    FlowLog,
    NatTimeouts,
    NetnsName,
    PortBlock,
    PortRange,
    PortSecurity,
    Rule,
    SourceNat,
    StatefulFirewall,
    Traffic,
    UnservedClient,
)

VPC, EXT = NetnsName("vpc/demo/default"), DeviceName("ext")
ALICE = IPv4Address("10.8.0.2")


def text(commands: list[str] | tuple[str, ...]) -> str:
    return "\n".join(commands)


def test_a_filter() -> None:
    assert text(nftables.render_filter(StatefulFirewall(VPC, EXT))) == snapshot("""\
add table ip fogbank
add counter ip fogbank drop_spoofed
add counter ip fogbank drop_inbound
add counter ip fogbank drop_unguarded
add counter ip fogbank drop_no_nat_3be063ae
add counter ip fogbank drop_invalid
add counter ip fogbank drop_nat_allocation_failed_5c5efd24
add set ip fogbank homes { type ifname . ipv4_addr; }
add set ip fogbank homes_nets { type ifname . ipv4_addr; flags interval; }
add set ip fogbank forwarders { type ifname; }
add map ip fogbank views { type ifname : mark; }
add set ip fogbank peers { type ifname . ipv4_addr; flags interval; }
add set ip fogbank flow_logs { type ipv4_addr; flags interval; }
add set ip fogbank refused { type ipv4_addr; size 65536; flags dynamic; }
add map ip fogbank ingress { type ifname : verdict; }
add map ip fogbank egress { type ifname : verdict; }
add chain ip fogbank screen { type filter hook prerouting priority raw; policy accept; }
add chain ip fogbank forward { type filter hook forward priority filter; policy drop; }
add chain ip fogbank arrive { type filter hook input priority filter; policy accept; }
add chain ip fogbank refuse
flush chain ip fogbank screen
flush chain ip fogbank forward
flush chain ip fogbank arrive
flush chain ip fogbank refuse
add rule ip fogbank refuse update @refused { ip daddr counter }
add rule ip fogbank refuse drop
add rule ip fogbank screen iifname . ip saddr != @homes iifname . ip saddr != @homes_nets iifname != @forwarders iifname . ip saddr != @peers iifname != { "lo", "ext" } counter name drop_spoofed drop
add rule ip fogbank screen meta mark set iifname map @views
add rule ip fogbank forward ct state established,related accept
add rule ip fogbank forward ct state invalid counter name drop_invalid drop
add rule ip fogbank forward ct event set 0x0
add rule ip fogbank forward ip saddr @flow_logs ct event set destroy
add rule ip fogbank forward ip daddr @flow_logs ct event set destroy
add set ip fogbank clients_ext { type ipv4_addr; }
add set ip fogbank clients_ext_nets { type ipv4_addr; flags interval; }
add set ip fogbank unserved_ext { type ipv4_addr; }
add set ip fogbank unserved_ext_nets { type ipv4_addr; flags interval; }
add rule ip fogbank arrive iifname "ext" ct state new counter name drop_inbound drop
add rule ip fogbank forward iifname "ext" ct status ! dnat counter name drop_inbound drop
add rule ip fogbank forward iifname vmap @egress
add rule ip fogbank forward oifname "ext" ip saddr @clients_ext accept
add rule ip fogbank forward oifname "ext" ip saddr @clients_ext_nets accept
add rule ip fogbank forward oifname "ext" ip saddr @unserved_ext counter name drop_nat_allocation_failed_5c5efd24 drop
add rule ip fogbank forward oifname "ext" ip saddr @unserved_ext_nets counter name drop_nat_allocation_failed_5c5efd24 drop
add rule ip fogbank forward oifname "ext" counter name drop_no_nat_3be063ae drop
add chain ip fogbank leave { type filter hook postrouting priority srcnat + 20; }
flush chain ip fogbank leave
add rule ip fogbank leave oifname "ext" ct status & (snat | dnat) == 0 counter name drop_no_nat_3be063ae drop
add rule ip fogbank forward oifname . ip daddr @peers iifname . ip saddr @homes accept
add rule ip fogbank forward oifname . ip daddr @peers iifname . ip saddr @homes_nets accept
add rule ip fogbank forward oifname . ip daddr @peers iifname @forwarders accept
add rule ip fogbank forward oifname . ip daddr != @homes oifname . ip daddr != @homes_nets oifname != @forwarders counter name drop_unguarded drop
add rule ip fogbank forward oifname vmap @ingress
add rule ip fogbank forward accept\
""")


def test_a_port_security_and_a_address_set_member_are_elements() -> None:
    port_security = PortSecurity(VPC, DeviceName("10.8.0.2"), ALICE, "in", "out")
    assert text(nftables.render_port_security(port_security)) == snapshot("""\
add element ip fogbank egress { "10.8.0.2" : jump policy_out }
add element ip fogbank ingress { "10.8.0.2" : jump policy_in }
add element ip fogbank homes { "10.8.0.2" . 10.8.0.2 }\
""")
    assert text(nftables.render_no_port_security(port_security)) == snapshot("""\
delete element ip fogbank homes { "10.8.0.2" . 10.8.0.2 }
delete element ip fogbank ingress { "10.8.0.2" : jump policy_in }
delete element ip fogbank egress { "10.8.0.2" : jump policy_out }\
""")
    assert text(nftables.render_address_set_member(AddressSetMember(VPC, "tag-web", ALICE))) == snapshot("""\
add set ip fogbank group_tag_web_f6e68d64 { type ipv4_addr; }
add element ip fogbank group_tag_web_f6e68d64 { 10.8.0.2 }\
""")


def test_translation_by_a_device() -> None:
    assert text([*nftables.render_nat_device(EXT), *nftables.render_nat_slices(EXT)]) == snapshot("""\
add table ip fogbank
add chain ip fogbank translate_ext { type nat hook postrouting priority srcnat; }
flush chain ip fogbank translate_ext
add set ip fogbank clients_ext { type ipv4_addr; }
add map ip fogbank blocks_ext { type ipv4_addr : interval ipv4_addr . inet_service; }
add map ip fogbank outsides_ext { type ipv4_addr : ipv4_addr; }
add rule ip fogbank translate_ext oifname "ext" meta l4proto { tcp, udp } snat ip to ip saddr map @blocks_ext
add rule ip fogbank translate_ext oifname "ext" snat ip to ip saddr map @outsides_ext
add set ip fogbank clients_ext_nets { type ipv4_addr; flags interval; }
add map ip fogbank blocks_ext_nets { type ipv4_addr : interval ipv4_addr . inet_service; flags interval; }
add map ip fogbank outsides_ext_nets { type ipv4_addr : ipv4_addr; flags interval; }
add rule ip fogbank translate_ext oifname "ext" meta l4proto { tcp, udp } snat ip to ip saddr map @blocks_ext_nets
add rule ip fogbank translate_ext oifname "ext" snat ip to ip saddr map @outsides_ext_nets
add counter ip fogbank drop_ports_exhausted_0dc29d0e
add set ip fogbank held_ext { type ipv4_addr . inet_service . ipv4_addr . inet_service; size 131072; flags dynamic,timeout; }
add chain ip fogbank leaving_ext { type filter hook postrouting priority srcnat - 10; }
add chain ip fogbank gone_ext { type filter hook postrouting priority srcnat + 10; }
flush chain ip fogbank leaving_ext
flush chain ip fogbank gone_ext
add rule ip fogbank leaving_ext oifname != "ext" accept
add rule ip fogbank gone_ext oifname != "ext" accept
add rule ip fogbank leaving_ext ct state != new accept
add rule ip fogbank gone_ext ct state new ip saddr . tcp sport . ip daddr . tcp dport @held_ext counter name drop_ports_exhausted_0dc29d0e drop
add rule ip fogbank gone_ext tcp flags & fin != fin accept
add map ip fogbank timers_ext { type ipv4_addr : verdict; }
add map ip fogbank holds_ext { type ipv4_addr : verdict; }
add rule ip fogbank leaving_ext ip saddr vmap @timers_ext
add rule ip fogbank gone_ext tcp flags & fin == fin ct original ip saddr vmap @holds_ext
add map ip fogbank timers_ext_nets { type ipv4_addr : verdict; flags interval; }
add map ip fogbank holds_ext_nets { type ipv4_addr : verdict; flags interval; }
add rule ip fogbank leaving_ext ip saddr vmap @timers_ext_nets
add rule ip fogbank gone_ext tcp flags & fin == fin ct original ip saddr vmap @holds_ext_nets\
""")
    assert text(nftables.render_timers(NatTimeouts())) == snapshot("""\
add ct timeout ip fogbank tcp_30_1200_30_120 { protocol tcp; l3proto ip; policy = { syn_sent : 30, syn_recv : 30, fin_wait : 30, close_wait : 30, last_ack : 30, close : 30, time_wait : 120, established : 1200, retrans : 1200, unack : 1200 }; }
add ct timeout ip fogbank udp_30_1200_30_120 { protocol udp; l3proto ip; policy = { unreplied : 30, replied : 30 }; }
add chain ip fogbank timers_30_1200_30_120
flush chain ip fogbank timers_30_1200_30_120
add rule ip fogbank timers_30_1200_30_120 meta l4proto tcp ct timeout set "tcp_30_1200_30_120"
add rule ip fogbank timers_30_1200_30_120 meta l4proto udp ct timeout set "udp_30_1200_30_120"\
""")
    assert text(nftables.render_hold(EXT, 120)) == snapshot("""\
add chain ip fogbank hold_ext_120
flush chain ip fogbank hold_ext_120
add rule ip fogbank hold_ext_120 update @held_ext { ip saddr . tcp sport . ip daddr . tcp dport timeout 120s }
add rule ip fogbank hold_ext_120 ct event set destroy,protoinfo\
""")


def test_a_client_of_translation_is_a_few_elements() -> None:
    outside = IPv4Address("203.0.113.7")
    sliced = SourceNat(VPC, EXT, IPv4Network(ALICE), outside, PortRange(1024, 1087), NatTimeouts())
    assert text(nftables.render_source_nat(sliced)) == snapshot("""\
add element ip fogbank clients_ext { 10.8.0.2 }
add element ip fogbank outsides_ext { 10.8.0.2 : 203.0.113.7 }
add element ip fogbank blocks_ext { 10.8.0.2 : 203.0.113.7 . 1024-1087 }
add element ip fogbank holds_ext { 10.8.0.2 : jump hold_ext_120 }
add element ip fogbank timers_ext { 10.8.0.2 : jump timers_30_1200_30_120 }\
""")
    plain = SourceNat(VPC, EXT, IPv4Network("169.254.16.0/20"), outside)
    assert text(nftables.render_source_nat(plain)) == snapshot("""\
add element ip fogbank clients_ext_nets { 169.254.16.0/20 }
add element ip fogbank outsides_ext_nets { 169.254.16.0/20 : 203.0.113.7 }\
""")


def test_a_policy_is_built_beside_the_old_one_and_then_exchanged() -> None:
    rules = (
        Rule("deny", (Traffic(6, (PortRange(22, 22),)),), label="no-ssh"),
        Rule(
            "allow",
            (Traffic(6, (PortRange(80, 90), PortRange(85, 99), PortRange(443, 443))), Traffic(1)),
            sources=(IPv4Network("10.0.0.0/9"), IPv4Network("10.128.0.0/9"), IPv4Network("192.0.2.0/24")),
            address_sets=("tag-web",),
        ),
    )
    policy = FirewallPolicy(VPC, "ingress/a b", rules, "deny")
    body = policy_chains.render_body(policy, 3)
    assert text(body.commands) == snapshot("""\
add counter ip fogbank drop_default_deny_33ea2e67
add counter ip fogbank drop_no_ssh_343d2648
add set ip fogbank group_tag_web_f6e68d64 { type ipv4_addr; }
add chain ip fogbank body_ingress_a_b_2d6395f7_3_0
add rule ip fogbank body_ingress_a_b_2d6395f7_3_0 tcp dport 22 counter name drop_no_ssh_343d2648 drop
add rule ip fogbank body_ingress_a_b_2d6395f7_3_0 ip saddr { 10.0.0.0/8, 192.0.2.0/24 } tcp dport { 80-99, 443 } return
add rule ip fogbank body_ingress_a_b_2d6395f7_3_0 ip saddr @group_tag_web_f6e68d64 tcp dport { 80-99, 443 } return
add rule ip fogbank body_ingress_a_b_2d6395f7_3_0 ip saddr { 10.0.0.0/8, 192.0.2.0/24 } meta l4proto 1 return
add rule ip fogbank body_ingress_a_b_2d6395f7_3_0 ip saddr @group_tag_web_f6e68d64 meta l4proto 1 return
add rule ip fogbank body_ingress_a_b_2d6395f7_3_0 counter name drop_default_deny_33ea2e67 drop\
""")
    assert text(policy_chains.render_swing(policy, body)) == snapshot("""\
add chain ip fogbank policy_ingress_a_b_2d6395f7
flush chain ip fogbank policy_ingress_a_b_2d6395f7
add rule ip fogbank policy_ingress_a_b_2d6395f7 goto body_ingress_a_b_2d6395f7_3_0\
""")
    assert text(policy_chains.render_no_body(body)) == snapshot("""\
flush chain ip fogbank body_ingress_a_b_2d6395f7_3_0
delete chain ip fogbank body_ingress_a_b_2d6395f7_3_0\
""")


def test_a_long_policy_is_a_tree() -> None:
    rules = tuple(Rule("deny", (Traffic(6, (PortRange(n, n),)),), label="no") for n in range(8000, 8010))
    body = policy_chains.render_body(FirewallPolicy(VPC, "long", rules, "allow"), 1)
    assert text(body.commands) == snapshot("""\
add counter ip fogbank drop_no
add chain ip fogbank body_long_1_0
add rule ip fogbank body_long_1_0 counter name drop_no drop
add chain ip fogbank body_long_1_1
add rule ip fogbank body_long_1_1 return
add map ip fogbank map_long_1_0 { type inet_service : verdict; flags interval; }
add element ip fogbank map_long_1_0 { 8000-8009 : goto body_long_1_0 }
add chain ip fogbank body_long_1_2
add rule ip fogbank body_long_1_2 th dport vmap @map_long_1_0
add rule ip fogbank body_long_1_2 goto body_long_1_1
add map ip fogbank map_long_1_1 { type inet_proto : verdict; flags interval; }
add element ip fogbank map_long_1_1 { 6 : goto body_long_1_2 }
add chain ip fogbank body_long_1_3
add rule ip fogbank body_long_1_3 meta l4proto vmap @map_long_1_1
add rule ip fogbank body_long_1_3 goto body_long_1_1\
""")


def test_any_label_gives_an_identifier() -> None:
    assert nftables.drop_counter("no-ssh") == snapshot("drop_no_ssh_343d2648")
    assert nftables.drop_counter("default") == "drop_default"
    assert len(nftables.drop_counter("ü" * 200)) < 60


def test_what_hands_first_packets_over() -> None:
    block = PortBlock(IPv4Address("203.0.113.7"), PortRange(1024, 1279))
    element = SourceNat(VPC, EXT, IPv4Network(ALICE), block.outside, block.ports, NatTimeouts())
    parts = tuple(enumerate(first_packet_rules.parts_of(block), first_packet_rules.FIRST_NUMBER + 1))
    assert text(first_packet_rules.render_handover(EXT)) == snapshot("""\
add map ip fogbank parts_ext { type classid : interval ipv4_addr . inet_service; }
add map ip fogbank sources_ext { type classid : ipv4_addr; }
insert rule ip fogbank translate_ext oifname "ext" snat ip to meta priority map @sources_ext
insert rule ip fogbank translate_ext oifname "ext" meta l4proto { tcp, udp } snat ip to meta priority map @parts_ext
add set ip fogbank first_ext { type ipv4_addr; }
insert rule ip fogbank leaving_ext oifname "ext" ct state new ct status & confirmed == 0 ip saddr @first_ext meta priority & ff00:0 != 4e00:0 log group 9 snaplen 65535 queue-threshold 1 drop
insert rule ip fogbank gone_ext oifname "ext" ct state new ct status & confirmed == 0 ip saddr @first_ext counter name drop_ports_exhausted_0dc29d0e drop
add set ip fogbank first_ext_nets { type ipv4_addr; flags interval; }
insert rule ip fogbank leaving_ext oifname "ext" ct state new ct status & confirmed == 0 ip saddr @first_ext_nets meta priority & ff00:0 != 4e00:0 log group 9 snaplen 65535 queue-threshold 1 drop
insert rule ip fogbank gone_ext oifname "ext" ct state new ct status & confirmed == 0 ip saddr @first_ext_nets counter name drop_ports_exhausted_0dc29d0e drop\
""")
    assert text(first_packet_rules.render_parts(EXT, parts)) == snapshot("""\
add element ip fogbank parts_ext { 4e00:1 : 203.0.113.7 . 1024-1151 }
add element ip fogbank sources_ext { 4e00:1 : 203.0.113.7 }
add element ip fogbank parts_ext { 4e00:2 : 203.0.113.7 . 1152-1279 }
add element ip fogbank sources_ext { 4e00:2 : 203.0.113.7 }\
""")
    assert text(nftables.render_source_nat(element)) == snapshot("""\
add element ip fogbank clients_ext { 10.8.0.2 }
add element ip fogbank first_ext { 10.8.0.2 }
add element ip fogbank holds_ext { 10.8.0.2 : jump hold_ext_120 }
add element ip fogbank timers_ext { 10.8.0.2 : jump timers_30_1200_30_120 }\
""")


def test_a_client_without_ports() -> None:
    element = UnservedClient(VPC, EXT, IPv4Network(ALICE))
    assert text(nftables.render_unserved_client(element)) == snapshot("""\
add table ip fogbank
add set ip fogbank unserved_ext { type ipv4_addr; }
add element ip fogbank unserved_ext { 10.8.0.2 }\
""")
    assert text(nftables.render_no_unserved_client(element)) == snapshot(
        "delete element ip fogbank unserved_ext { 10.8.0.2 }"
    )


def test_logged_rules() -> None:
    web = Rule("allow", (Traffic(6, (PortRange(80, 80),)),), label="web", logged=True)
    shut = Rule("deny", (Traffic(),), label="guard/100", stage=2, logged=True)
    body = policy_chains.render_body(FirewallPolicy(VPC, "ingress", (web, shut), "deny"), 1)
    assert text(body.commands) == snapshot("""\
add counter ip fogbank drop_default_deny_33ea2e67
add counter ip fogbank drop_guard_100_d908e66a
add set ip fogbank denied { type ipv4_addr . inet_service . ipv4_addr . inet_service . inet_proto; size 65536; flags dynamic,timeout; }
add chain ip fogbank body_ingress_1_0
add rule ip fogbank body_ingress_1_0 counter name drop_guard_100_d908e66a
add rule ip fogbank body_ingress_1_0 meta l4proto { tcp, udp } ip saddr . th sport . ip daddr . th dport . meta l4proto @denied drop
add rule ip fogbank body_ingress_1_0 meta l4proto { tcp, udp } add @denied { ip saddr . th sport . ip daddr . th dport . meta l4proto timeout 5s } log prefix "ingress deny 2 guard/100" group 10 snaplen 68
add rule ip fogbank body_ingress_1_0 drop
add chain ip fogbank body_ingress_1_1
add rule ip fogbank body_ingress_1_1 goto body_ingress_1_0
add chain ip fogbank body_ingress_1_2
add rule ip fogbank body_ingress_1_2 meta l4proto { tcp, udp } ct status & confirmed == 0 log prefix "ingress allow 0 web" group 10 snaplen 68
add rule ip fogbank body_ingress_1_2 return
add chain ip fogbank body_ingress_1_3
add rule ip fogbank body_ingress_1_3 tcp dport 80 goto body_ingress_1_2
add rule ip fogbank body_ingress_1_3 goto body_ingress_1_1\
""")
    assert policy_chains.parse_prefix("ingress deny 2 guard/100") == ("ingress", "deny", 2, "guard/100")


def test_flow_logs() -> None:
    element = FlowLog(VPC, "a", (IPv4Network("10.8.0.0/24"), IPv4Network("10.9.0.0/24")))
    assert text(nftables.render_flow_log(element) + nftables.render_no_flow_log(element)) == snapshot("""\
add set ip fogbank flow_logs { type ipv4_addr; flags interval; }
add element ip fogbank flow_logs { 10.8.0.0/24, 10.9.0.0/24 }
delete element ip fogbank flow_logs { 10.8.0.0/24, 10.9.0.0/24 }\
""")
