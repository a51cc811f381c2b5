"""Simulated hospital admissions, drawn like the transactions: column after column, the label last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from privsynth._checks import check_int, check_real
from privsynth._random import as_generator
from privsynth.datasets._transactions import draw_events, draw_levels

AGE_EDGES = np.array([45, 65, 80])  # young, middle, older, very old
SEXES = ("female", "male")
INSURANCES = ("public", "private", "self_pay")
DIAGNOSES = (
    "heart_failure", "ischaemic_heart", "arrhythmia", "copd", "pneumonia", "diabetes", "renal",
    "gastrointestinal", "stroke", "epilepsy", "fracture", "joint_replacement", "abdominal_surgery", "cancer",
    "delivery", "injury", "mental_health",
)  # fmt: skip
# Department: beds by age group (four numbers); share of admissions at weekends; share of BMI and of CRP
# not measured; median stay; weights of the diagnoses.
DEPARTMENTS: dict[str, tuple[tuple[float, ...], float, float, float, float, dict[str, float]]] = {
    "internal_medicine": (
        (12, 20, 26, 30), 0.7, 0.12, 0.08, 4.5,
        {"pneumonia": 5, "copd": 5, "diabetes": 5, "renal": 4, "gastrointestinal": 6, "heart_failure": 4},
    ),
    "emergency": (
        (26, 18, 17, 22), 1.3, 0.55, 0.25, 1.3,
        {"injury": 7, "gastrointestinal": 4, "pneumonia": 2, "copd": 2, "arrhythmia": 2, "fracture": 2},
    ),
    "surgery": (
        (16, 18, 14, 8), 0.4, 0.06, 0.10, 4.0,
        {"abdominal_surgery": 8, "gastrointestinal": 3, "cancer": 1},
    ),
    "cardiology": (
        (3, 16, 19, 16), 0.6, 0.10, 0.30, 3.6,
        {"ischaemic_heart": 6, "heart_failure": 5, "arrhythmia": 5},
    ),
    "orthopaedics": (
        (8, 13, 12, 12), 0.5, 0.08, 0.20, 4.2,
        {"joint_replacement": 5, "fracture": 6, "injury": 1},
    ),
    "oncology": ((3, 11, 11, 5), 0.4, 0.04, 0.05, 5.5, {"cancer": 1}),
    "neurology": ((5, 7, 9, 10), 0.8, 0.25, 0.30, 4.8, {"stroke": 6, "epilepsy": 3}),
    "psychiatry": ((9, 6, 3, 1), 0.7, 0.40, 0.75, 13.0, {"mental_health": 1}),
    "maternity": ((36, 0.1, 0, 0), 0.95, 0.03, 0.60, 2.2, {"delivery": 1}),
}  # fmt: skip
DEPARTMENT_NAMES = tuple(DEPARTMENTS)
MATERNITY = DEPARTMENT_NAMES.index("maternity")
# By diagnosis: median C-reactive protein in mg/l, shift of the systolic pressure in mmHg and of the BMI.
CRP = {
    "pneumonia": 85,
    "abdominal_surgery": 45,
    "fracture": 22,
    "joint_replacement": 25,
    "cancer": 24,
    "copd": 20,
}
SYSTOLIC = {"heart_failure": -9, "stroke": 16, "renal": 12, "diabetes": 7, "pneumonia": -6, "delivery": -6}
BMI = {"diabetes": 4.5, "joint_replacement": 2.5, "copd": -1.5, "cancer": -2.0, "delivery": 2.0}


def make_patients(n_rows: int = 5_000, *, readmission_rate: float = 0.12, random_state: Any = None) -> pd.DataFrame:
    """Simulate two years of hospital admissions of adults, one row per patient.

    Parameters
    ----------
    n_rows : int >= 1
    readmission_rate : float in (0, 1)
        The *expected* share of readmissions. Every row's readmission is an independent draw whose
        probabilities average to `readmission_rate`; the share that comes out scatters about it like a
        binomial share, or less.
    random_state : None, int >= 0 or numpy generator
        The same seed gives the same frame. The global generator is neither read nor seeded.

    Returns
    -------
    pandas.DataFrame of shape (n_rows, 15), in the order of admission
        =================== ============== ============================================================
        column              dtype          meaning
        =================== ============== ============================================================
        patient_id          str            ``P`` and digits, unique, in no order; predicts nothing
        admission_date      datetime64[ns] a day of 2022 or 2023; fewer at weekends, more in winter
        age                 int            years, 18 to 102
        sex                 str            female, male
        insurance           str            public, private, self_pay; depends on age
        department          str            9 levels; depends on age, sex, weekend; maternity: women under 50
        diagnosis_group     str            17 levels; every department has its own few
        smoker              bool           depends on age, sex and diagnosis
        previous_admissions int            in the last two years; zero-inflated, more with age
        systolic_bp         int            mmHg, 70 to 240; rises with age and BMI
        diastolic_bp        int            mmHg, 35 to 140; at least 15 below the systolic
        bmi                 float          kg/m2, 1 decimal; missing for 3 % (maternity) to 55 % (emergency)
        crp_mg_l            float          C-reactive protein, mg/l, heavy tail; missing where not ordered
        length_of_stay_days int            nights, right-skewed; depends on department, age and CRP
        readmitted          bool           the label: back within 30 days of leaving
        =================== ============== ============================================================

    Raises
    ------
    ParameterError
        If `n_rows`, `readmission_rate` or `random_state` is outside its range.

    Notes
    -----
    Age and previous admissions raise the odds a little by themselves. On top, six patterns:

    - *frail and early out*: 75 or older, admitted before, home within 2 nights;
    - *failing heart*: heart failure with a systolic pressure under 115, where a low value is the bad one;
    - *lungs*: a smoker with COPD or pneumonia, more so if admitted from October to March;
    - *infection after surgery*: CRP over 40 (as it truly is, also where it was not ordered), home within
      5 nights;
    - *diabetes and weight*: diabetes with a BMI over 32 (as it truly is), more so if paying oneself;
    - *broken off*: psychiatry, under 45, home within 7 nights.

    With the default rate, the true probabilities have a ROC AUC of about 0.82: readmission is harder to
    foresee than fraud.

    Examples
    --------
    >>> table = make_patients(1_000, random_state=7)
    >>> table["patient_id"].is_unique, bool((table["systolic_bp"] > table["diastolic_bp"]).all())
    (True, True)
    >>> sorted(table.columns[table.isna().any()])
    ['bmi', 'crp_mg_l']
    """
    n_rows = check_int("make_patients", "n_rows", n_rows, low=1)
    rate = check_real(
        "make_patients", "readmission_rate", readmission_rate, low=0, high=1, low_open=True, high_open=True
    )
    rng = as_generator(random_state, owner="make_patients")

    date = _admission_dates(rng, n_rows)
    age = _ages(rng, n_rows)
    sex = draw_levels(rng, [[0.52, 0.48]], np.zeros(n_rows, dtype=int))
    insurance = draw_levels(rng, [[70, 20, 10], [70, 25, 5], [86, 13, 1], [90, 9.5, 0.5]], _age_group(age))
    department = _department(rng, date, age, sex)
    diagnosis = _diagnosis(rng, department)
    smoker = _smoker(rng, age, sex, diagnosis)
    previous = _previous_admissions(rng, age, diagnosis)
    bmi = _bmi(rng, age, diagnosis)
    systolic, diastolic = _blood_pressure(rng, age, bmi, diagnosis)
    crp = _crp(rng, diagnosis)
    stay = _length_of_stay(rng, age, department, crp)

    table = pd.DataFrame(
        {
            "patient_id": [f"P{number:07d}" for number in 1 + rng.permutation(n_rows)],
            "admission_date": date,
            "age": age,
            "sex": np.array(SEXES, dtype=object)[sex],
            "insurance": np.array(INSURANCES, dtype=object)[insurance],
            "department": np.array(DEPARTMENT_NAMES, dtype=object)[department],
            "diagnosis_group": np.array(DIAGNOSES, dtype=object)[diagnosis],
            "smoker": smoker,
            "previous_admissions": previous,
            "systolic_bp": systolic,
            "diastolic_bp": diastolic,
            "bmi": bmi,
            "crp_mg_l": crp,
            "length_of_stay_days": stay,
        }
    )
    table["readmitted"] = draw_events(rng, _readmission_score(table), rate)
    no_bmi, no_crp = (np.array([row[i] for row in DEPARTMENTS.values()])[department] for i in (2, 3))
    table["bmi"] = np.where(rng.random(n_rows) < no_bmi, np.nan, bmi)
    table["crp_mg_l"] = np.where(rng.random(n_rows) < no_crp, np.nan, crp)
    return table


def _age_group(age: np.ndarray) -> np.ndarray:
    return np.searchsorted(AGE_EDGES, age, side="right")


def _by_diagnosis(values: Mapping[str, float], default: float, diagnosis: np.ndarray) -> np.ndarray:
    return np.array([values.get(name, default) for name in DIAGNOSES])[diagnosis]


def _admission_dates(rng: np.random.Generator, n_rows: int) -> np.ndarray:
    days = pd.date_range("2022-01-01", "2023-12-31", unit="ns")
    weekly = np.array([1.15, 1.1, 1.05, 1.05, 1.0, 0.7, 0.65])[days.dayofweek]
    seasonal = 1 + 0.15 * np.cos(2 * np.pi * (days.dayofyear.to_numpy() - 20) / 365)
    codes = draw_levels(rng, (weekly * seasonal)[None], np.zeros(n_rows, dtype=int))
    return days.to_numpy()[np.sort(codes)]


def _ages(rng: np.random.Generator, n_rows: int) -> np.ndarray:
    part = draw_levels(rng, [[0.27, 0.73]], np.zeros(n_rows, dtype=int))
    age = np.where(part == 0, rng.normal(33, 8, n_rows), 18 + 84 * rng.beta(3.4, 2.3, n_rows))
    return np.clip(np.rint(age), 18, 102).astype(np.int64)


def _department(rng: np.random.Generator, date: np.ndarray, age: np.ndarray, sex: np.ndarray) -> np.ndarray:
    beds = np.array([row[0] for row in DEPARTMENTS.values()]).T  # (4 age groups, departments)
    weekend_share = np.array([row[1] for row in DEPARTMENTS.values()])
    weights = np.stack([beds, beds * weekend_share])[:, :, None].repeat(3, axis=2)
    weights[:, :, 1:, MATERNITY] = 0  # men, and women of 50 and over
    weekend = (pd.DatetimeIndex(date).dayofweek >= 5).astype(int)
    kind = np.where((sex == 1) | (age >= 50), 1, 0)
    group = np.ravel_multi_index((weekend, _age_group(age), kind), weights.shape[:3])
    return draw_levels(rng, weights.reshape(-1, len(DEPARTMENTS)), group)


def _diagnosis(rng: np.random.Generator, department: np.ndarray) -> np.ndarray:
    weights = [[row[5].get(name, 0) for name in DIAGNOSES] for row in DEPARTMENTS.values()]
    return draw_levels(rng, weights, department)


def _smoker(rng: np.random.Generator, age: np.ndarray, sex: np.ndarray, diagnosis: np.ndarray) -> np.ndarray:
    share = np.array([0.24, 0.24, 0.13, 0.06])[_age_group(age)] * np.where(sex == 1, 1.25, 0.85)
    tilt = _by_diagnosis({"copd": 2.8, "ischaemic_heart": 1.6, "mental_health": 1.9, "delivery": 0.4}, 1.0, diagnosis)
    return rng.random(len(age)) < share * tilt


def _previous_admissions(rng: np.random.Generator, age: np.ndarray, diagnosis: np.ndarray) -> np.ndarray:
    chronic = _by_diagnosis({"heart_failure": 2.2, "copd": 2.2, "cancer": 2.5, "renal": 2.0}, 1.0, diagnosis)
    mean = np.array([0.4, 0.7, 1.0, 1.3])[_age_group(age)] * chronic
    first = rng.random(len(age)) < 0.35
    return np.where(first, 0, rng.poisson(rng.gamma(1.2, mean / 1.2)))


def _bmi(rng: np.random.Generator, age: np.ndarray, diagnosis: np.ndarray) -> np.ndarray:
    centre = 27.0 + _by_diagnosis(BMI, 0.0, diagnosis) - 0.002 * (age - 55.0) ** 2
    return np.clip(centre * np.exp(0.18 * rng.standard_normal(len(age))), 13, 65).round(1)


def _blood_pressure(
    rng: np.random.Generator, age: np.ndarray, bmi: np.ndarray, diagnosis: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    centre = 123 + 0.42 * (age - 45) + 0.5 * (bmi - 26) + _by_diagnosis(SYSTOLIC, 0.0, diagnosis)
    systolic = np.clip(np.rint(centre + 15 * rng.standard_normal(len(age))), 70, 240)
    stiffness = 0.15 * np.maximum(age - 55, 0)  # old arteries: a wider pulse pressure
    diastolic = 76 + 0.45 * (systolic - 125) - stiffness + 7 * rng.standard_normal(len(age))
    diastolic = np.minimum(np.clip(np.rint(diastolic), 35, 140), systolic - 15)
    return systolic.astype(np.int64), diastolic.astype(np.int64)


def _crp(rng: np.random.Generator, diagnosis: np.ndarray) -> np.ndarray:
    crp = _by_diagnosis(CRP, 6.0, diagnosis) * np.exp(1.1 * rng.standard_normal(len(diagnosis)))
    return np.clip(crp, 0.3, 600).round(1)


def _length_of_stay(rng: np.random.Generator, age: np.ndarray, department: np.ndarray, crp: np.ndarray) -> np.ndarray:
    median = np.array([row[4] for row in DEPARTMENTS.values()])[department]
    slower = np.exp(0.006 * (age - 55) + 0.10 * np.log(crp / 8))
    slower = np.where(department == MATERNITY, 1.0, slower)
    return np.clip(np.floor(median * slower * rng.gamma(1.8, 1 / 1.5, len(age))), 0, 180).astype(np.int64)


def _readmission_score(table: pd.DataFrame) -> np.ndarray:
    """Return the log odds of every row, up to a constant; Notes of make_patients in code."""
    age, stay, diagnosis = table["age"], table["length_of_stay_days"], table["diagnosis_group"]
    department, month = table["department"], table["admission_date"].dt.month
    winter = (month <= 3) | (month >= 10)
    frail = (age >= 75) & (table["previous_admissions"] >= 1) & (stay <= 2)
    heart = (diagnosis == "heart_failure") & (table["systolic_bp"] < 115)
    lungs = table["smoker"] & diagnosis.isin(["copd", "pneumonia"])
    infection = (department == "surgery") & (table["crp_mg_l"] > 40) & (stay <= 5)
    weight = (diagnosis == "diabetes") & (table["bmi"] > 32)
    broken_off = (department == "psychiatry") & (age < 45) & (stay <= 7)

    score = 2.8 * frail + 3.2 * heart + lungs * (2.0 + 1.2 * winter) + 2.8 * infection
    score = score + weight * (2.6 + 1.5 * (table["insurance"] == "self_pay")) + 2.6 * broken_off
    score = score + 0.015 * (age - 55) + 0.25 * np.minimum(table["previous_admissions"], 4)
    return score.to_numpy(dtype=float)
