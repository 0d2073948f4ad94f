"""What weakens the board: Wi-Fi that dozes, voltage, heat, memory."""

from __future__ import annotations

import shlex

import pytest

from pivoice.checks import board
from tests.checks.pi import FakePi, only, told

THROTTLED = "/sys/devices/platform/soc/soc:firmware/get_throttled"
ROUTE = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n{}\t00000000\t0101\t3\t0\t0\t{}\t0\n"


@pytest.fixture
def wifi(pi: FakePi) -> FakePi:
    pi.write("/sys/class/net/wlan0/wireless/x", "")
    pi.write("/sys/class/net/eth0/carrier", "1")
    pi.write("/proc/net/route", ROUTE.format("wlan0", 600))
    pi.says("iw dev wlan0 get power_save", "Power save: off\n")
    pi.says("iw dev wlan0 link", "Connected to aa:bb\n\tsignal: -52 dBm\n")
    return pi


def test_wifi_that_saves_power_is_told_with_how_to_keep_it_awake_for_good(wifi: FakePi):
    wifi.says("iw dev wlan0 get power_save", "Power save: on\n")
    wifi.says("nmcli -g GENERAL.CONNECTION device show wlan0", "My Home\n")

    found = only(board.wifi, wifi.patient())

    assert found.verdict == "warn" and "saves power" in found.text and "-52 dBm" in found.text
    assert found.next == (
        "sudo iw dev wlan0 set power_save off; "
        "for good: sudo nmcli connection modify 'My Home' 802-11-wireless.powersave 2"
    )


def test_a_networks_name_is_no_command_in_the_owners_shell(wifi: FakePi):
    wifi.says("iw dev wlan0 get power_save", "Power save: on\n")
    wifi.says("nmcli -g GENERAL.CONNECTION device show wlan0", "x'; echo\\: hacked; '\n")

    command = only(board.wifi, wifi.patient()).next.partition("for good: ")[2]

    assert shlex.split(command)[4] == "x'; echo: hacked; '"


def test_wifi_that_is_awake_and_near_is_well(wifi: FakePi):
    assert only(board.wifi, wifi.patient()).verdict == "ok"


def test_a_weak_signal_is_told(wifi: FakePi):
    wifi.says("iw dev wlan0 link", "\tsignal: -81 dBm\n")

    found = only(board.wifi, wifi.patient())

    assert found.verdict == "warn" and "-81 dBm" in found.text


def test_wifi_beside_a_cable_is_not_judged(wifi: FakePi):
    lines = ROUTE.format("wlan0", 600) + ROUTE.format("eth0", 100).splitlines()[1] + "\n"
    wifi.write("/proc/net/route", lines)
    wifi.says("iw dev wlan0 get power_save", "Power save: on\n")

    found = only(board.wifi, wifi.patient())

    assert found.verdict == "ok" and "eth0" in found.text


def test_without_iw_it_is_said_that_nothing_is_known(wifi: FakePi):
    wifi.says("iw", code=127)
    wifi.says("iw dev wlan0 get power_save", code=127)

    found = only(board.wifi, wifi.patient())

    assert found.verdict == "warn" and "apt install iw" in found.next


def test_a_board_without_wifi_has_nothing_to_tell_of_it(pi: FakePi):
    assert not told(board.wifi, pi.patient())


@pytest.mark.parametrize(
    ("bits", "verdict", "said"),
    [
        ("0", "ok", "never slowed"),
        ("50005", "fail", "voltage is too low now"),
        ("50000", "warn", "voltage was too low since the start"),
        ("e0008", "warn", "slowed down now"),
        ("20002", "warn", "slowed down now"),
        ("80000", "warn", "slowed down since the start"),
    ],
)
def test_each_bit_of_the_firmware_has_its_sentence(pi: FakePi, bits: str, verdict: str, said: str):
    pi.write(THROTTLED, f"{bits}\n")

    found = told(board.power, pi.patient())[0]

    assert found.verdict == verdict and said in found.text
    assert bool(found.next) == (verdict != "ok")


def test_the_firmware_is_asked_by_its_own_command_where_there_is_no_file(pi: FakePi):
    pi.says("vcgencmd get_throttled", "throttled=0x50000\n")

    assert "since the start" in told(board.power, pi.patient())[0].text


def test_a_machine_that_is_no_pi_has_no_such_firmware(pi: FakePi):
    pi.write("/proc/device-tree/model", "")

    assert not told(board.power, pi.patient())


def test_heat_is_told_where_the_firmware_slows_down(pi: FakePi):
    pi.write(THROTTLED, "0")
    pi.write("/sys/class/thermal/thermal_zone0/temp", "82123\n")

    assert [(each.check, each.verdict) for each in board.power(pi.patient())] == [
        ("power", "ok"),
        ("heat", "warn"),
    ]


@pytest.mark.parametrize(("free_kb", "verdict"), [(30_000, "warn"), (300_000, "ok")])
def test_memory_that_runs_out_is_told(pi: FakePi, free_kb: int, verdict: str):
    pi.write("/proc/meminfo", f"MemTotal: 425000 kB\nMemAvailable:   {free_kb} kB\n")

    assert told(board.space, pi.patient())[0].verdict == verdict
